"""Tests that two processes on the CPU (gloo) match one process with the same global batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import harness
from harness.training.distributed import SyncedBatchNorm, convert_sync_batchnorm

FLOAT64 = ["trainer=cpu", "trainer.precision=64-true", "epochs=2", "split.val=0.2", "split.test=0.5"]
CASES = {
    "mlp, dropout, odd batches": ["batch_size=63", "'regularizer=[dropout,l2]'".strip("'"), "optimizer=sgd"],
    "cnn, batch norm, augmentation, clipping, accumulation": [
        "model=cnn",
        "normalization=batch_norm",
        "augmentation=[random_shift]",
        "regularizer=[dropout,gradient_clipping]",
        "regularizer.dropout.p=0.2",
        "regularizer.gradient_clipping.limit=0.5",
        "corruption=[label_noise]",
        "accumulate=3",
        "batch_size=50",
        "warmup=0.3",
        "scheduler=cosine",
    ],
    "episodes, an odd number": [
        *["task=one_shot", "task.episodes=23", "task.evaluated=31", "task.way=3", "batch_size=5", "loss=contrastive"],
        *["model=siamese", "regularizer=[dropout]", "augmentation=[input_noise]"],
        "optimizer=sgd",  # a shift of all embeddings changes no distance, so adam would amplify rounding there
    ],
}


def assert_equal(case: str) -> None:
    line = [*FLOAT64, *CASES[case]]
    one = harness.run([*line, "study=one"])
    two = harness.run([*line, "study=two", "trainer.devices=2"])
    assert two.cohort["processes"] == 2
    assert one.cohort["processes"] == 1
    assert (one.status, two.status) == ("completed", "completed")
    assert one.id == two.id  # the number of processes does not change the ID
    for name, value in one.metrics.items():
        assert two.metrics[name] == pytest.approx(value, rel=1e-9), name
    for name, tensor in harness.load_model(one).state_dict().items():
        assert torch.allclose(harness.load_model(two).state_dict()[name], tensor, rtol=1e-9, atol=1e-12), name


def test_two_processes_match_one(workdir: Path) -> None:
    """Run all cases in this process, in order: a distributed run must not disturb the next."""
    for case in CASES:
        assert_equal(case)


def test_batch_too_small_for_the_processes_is_refused(workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match="last batch has 1 samples"):
        harness.run(["trainer=cpu", "trainer.devices=2", "batch_size=7"])
    assert not (workdir / "outputs").exists()


def test_synced_batch_norm_in_one_process_is_batch_norm() -> None:
    """Compare with torch in a group of one process: outputs, gradients, running statistics."""
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        plain = torch.nn.BatchNorm2d(3).double()
        synced = convert_sync_batchnorm(torch.nn.Sequential(torch.nn.BatchNorm2d(3).double()))[0]
        assert isinstance(synced, SyncedBatchNorm)
        for _ in range(3):
            x = torch.randn(5, 3, 4, 4, dtype=torch.float64)
            a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
            out, expected = synced(a), plain(b)
            weight = torch.randn_like(out)
            (out * weight).sum().backward()
            (expected * weight).sum().backward()
            torch.testing.assert_close(out, expected)
            torch.testing.assert_close(a.grad, b.grad)
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(synced.state_dict()[name], value)
        torch.testing.assert_close(synced.eval()(x), plain.eval()(x))
    finally:
        torch.distributed.destroy_process_group()
