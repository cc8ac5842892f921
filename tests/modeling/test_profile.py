"""Tests of profiling a model with a pass of two samples."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from harness.modeling.profile import Probe, draws, probe
from harness.modeling.rng.noise import Noise
from harness.modeling.task import Batch, Call, Task
from harness.training.resources import choose_threads, use_threads


def test_probe_counts_work_and_activations() -> None:
    """The reference is twice the multiplications and the outputs of each layer, counted by hand."""
    assert probe(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)), torch.zeros(2, 1, 8, 8)
    ) == Probe(noisy=False, work=2 * (64 * 128 + 128 * 10), activations=64 + 128 + 128 + 10, dense=True)
    convolution = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16))
    profile = probe(convolution, torch.zeros(2, 3, 8, 8))
    assert profile.work == 2 * 8 * 8 * 16 * 3 * 9
    assert not profile.dense


def test_probe_detects_noise_and_changes_nothing() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    state = torch.random.get_rng_state()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    assert probe(model, torch.zeros(2, 4)).noisy
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())
    assert not model[0]._forward_hooks


def test_model_that_fails_the_probe_counts_as_noisy() -> None:
    assert probe(nn.Embedding(10, 3), torch.zeros(2, 4)) == Probe(noisy=True, work=None)


def test_threads_increase_with_work() -> None:
    assert [choose_threads(work, 64, 4) for work in (0, 200_000, 300_000, 10**9)] == [1, 1, 2, 4]


def test_thread_count_is_restored() -> None:
    before = torch.get_num_threads()
    with use_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


class Drawing(Task):
    """A task whose loss draws, with a model that does not."""

    def losses(self, call: Call, batch: Batch, noise: Noise) -> dict[str, torch.Tensor]:
        x, _ = batch
        return {"model": (call(x) * torch.rand(len(x), 1)).mean()}


def test_draws_of_a_loss_are_detected() -> None:
    model, batch = nn.Linear(4, 3), (torch.zeros(2, 4), torch.tensor([0, 2]))
    state = torch.random.get_rng_state()
    assert draws(Drawing(F.cross_entropy), model, batch)
    assert not draws(Task(F.cross_entropy), model, batch)
    assert draws(Task(F.cross_entropy), model, (batch[0], torch.zeros(3)))  # it fails, so nothing is known of it
    assert torch.equal(state, torch.random.get_rng_state())
