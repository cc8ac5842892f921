"""Tests of gradient noise against gradients computed batch by batch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.func import functional_call

from tests.plugins.components.helpers import measured

N = 22  # samples: not a multiple of every size


def problem(norm: bool):
    """Return (loss(params, x, y, draw), params, x, y) of a regression, in float64."""
    torch.manual_seed(0)
    middle = torch.nn.BatchNorm1d(4, track_running_stats=False) if norm else torch.nn.Tanh()
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), middle, torch.nn.Linear(4, 1)).double()
    x, y = torch.randn(N, 3, dtype=torch.float64), torch.randn(N, 1, dtype=torch.float64)
    params = {name: p.detach() for name, p in net.named_parameters()}

    def loss(own, x=x, y=y, draw=0):
        return (functional_call(net, own, (x,)) - y).square().mean()

    return loss, params, x, y


def gradient(loss, params, x, y) -> np.ndarray:
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    grads = torch.autograd.grad(loss(leaves, x, y), list(leaves.values()))
    return torch.cat([g.flatten() for g in grads]).numpy()


@pytest.mark.parametrize("norm", [False, True])
def test_variance_and_bias_match_brute_force(norm):
    loss, params, x, y = problem(norm)
    arguments = {"params": params, "loss": loss, "x": x, "y": y, "batch_size": 16, "each": 1}
    values = measured("gradient_noise", {"sizes": (2, 5, 12)}, **arguments)  # 12: there are no two batches of this size
    assert {tag for tag in values if "/" in tag} == {f"{what}/{n}" for what in ("variance", "bias") for n in (2, 5)}
    for size in (2, 5):
        count = N // size
        each = np.stack(
            [gradient(loss, params, x[i : i + size], y[i : i + size]) for i in range(0, count * size, size)]
        )
        whole = gradient(loss, params, x[: count * size], y[: count * size])
        variance = each.var(0, ddof=1).sum()
        assert values[f"variance/{size}"] == pytest.approx(variance / (whole @ whole), rel=1e-9)
        bias = np.linalg.norm(each.mean(0) - whole) / np.linalg.norm(whole)
        assert values[f"bias/{size}"] == pytest.approx(bias, rel=1e-6, abs=1e-12)
        assert (bias > 0.05) == norm  # only the statistics of few samples change the mean
        if size == 2:
            left = each.mean(0) @ each.mean(0) - variance / count
            expected = size * variance / left if left > 0 else math.inf
            assert values["scale"] == pytest.approx(expected, rel=1e-9)
            assert values["over_batch"] == pytest.approx(expected / 16, rel=1e-9)


def test_noise_scale_matches_mccandlish_and_others():
    """Per-sample gradients g_i: tr(Σ) / |G|², with the unbiased estimates of their appendix A.1."""
    torch.manual_seed(1)
    x = torch.randn(64, 5, dtype=torch.float64) + 1
    params = {"w": torch.zeros(5, dtype=torch.float64)}

    def loss(own, x=x, y=None, draw=0):
        return (x @ own["w"] - 1).square().mean() / 2

    arguments = {"params": params, "loss": loss, "x": x, "y": torch.zeros(64), "batch_size": 8, "each": 1}
    values = measured("gradient_noise", {"sizes": (1,)}, **arguments)
    g = (-x).numpy()  # (x w - 1) x at w = 0
    small, big = (g**2).sum(1).mean(), (g.mean(0) ** 2).sum()
    signal = (64 * big - 1 * small) / (64 - 1)
    noise = (small - big) / (1 / 1 - 1 / 64)
    assert values["scale"] == pytest.approx(noise / signal, rel=1e-9)


def test_batches_keep_tuples_together():
    """Batches of pairs are whole pairs, and sizes are in tuples."""
    params = {"w": torch.ones(1, dtype=torch.float64)}

    def loss(own, x=None, y=None, draw=0):
        return (own["w"] * (x[0::2] - x[1::2])).mean()  # differs if pairs are split

    x = torch.arange(16, dtype=torch.float64)
    arguments = {"params": params, "loss": loss, "x": x, "y": x, "batch_size": 8, "each": 2}
    assert measured("gradient_noise", {"sizes": (1, 3)}, **arguments)["variance/2"] == 0.0
