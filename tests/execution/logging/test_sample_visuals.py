"""Tests of the images that a task shows of a finished run."""

from __future__ import annotations

import torch

from harness.datasets.sampling import sampled
from harness.execution.logging.images import grid
from harness.execution.logging.sample_visuals import SAMPLES, pictures
from harness.modeling.builder import RunComponents
from tests.training.helpers import cohort

LINE = ["model=vae", "model.form=dense", "epochs=1", "batch_size=200"]


def test_stack_member_is_shown_with_its_own_weights() -> None:
    """The images equal those alone, though the stack leaves its model in its initial state."""
    lines = [[*LINE, f"seed={seed}"] for seed in (1, 2)]
    fused = [pictures(run) for run in cohort(lines)]
    for one, shown in zip(lines, fused, strict=True):
        (run,) = cohort([one], fused=False)
        alone = pictures(run)
        assert alone.keys() == shown.keys() == {"inputs", "samples", "reconstructions"}
        for tag in alone:
            torch.testing.assert_close(shown[tag], alone[tag], atol=1e-3, rtol=0)
            assert 0 <= shown[tag].min() <= shown[tag].max() <= 1
    assert not torch.allclose(fused[0]["samples"], fused[1]["samples"], atol=0.05)


def test_inputs_are_shown_on_their_own_scale_reproducibly() -> None:
    (run,) = cohort([LINE], fused=False)
    first, second = pictures(run), pictures(run)
    assert all(torch.equal(first[tag], second[tag]) for tag in first)
    x = sampled(run.dataset, SAMPLES, "val")[0]
    assert torch.equal(first["inputs"], grid((x - x.min()) / (x.max() - x.min())))


def test_task_without_pictures_shows_nothing() -> None:
    def change(parts: RunComponents) -> None:
        parts.task.pictures = None  # type: ignore[assignment,method-assign]  # no picture is requested

    (run,) = cohort([["epochs=1", "batch_size=500"]], change=change, fused=False)
    assert pictures(run) == {}
