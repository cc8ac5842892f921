"""Tests of harness's own element-wise optimizers, against numpy and their limits."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.plugins.components.optimizers.helpers import built, path, trained


def ema_momentum(w, g, s, t, lr=0.1, momentum=0.9, weight_decay=0.0):
    s["v"] = momentum * s.get("v", 0) + (1 - momentum) * (g + weight_decay * w)
    return w - lr * s["v"]


def nadam(w, g, s, t, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3, weight_decay=0.0):
    g = g + weight_decay * w
    momenta = [betas[0] * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in range(1, t + 2)]
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    ahead = momenta[t] * s["m"] / (1 - math.prod(momenta)) + (1 - momenta[t - 1]) * g / (1 - math.prod(momenta[:t]))
    return w - lr * ahead / (np.sqrt(s["v"] / (1 - betas[1] ** t)) + eps)


def lion(w, g, s, t, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
    m = s.get("m", 0)
    s["m"] = betas[1] * m + (1 - betas[1]) * g
    return w - lr * (np.sign(betas[0] * m + (1 - betas[0]) * g) + weight_decay * w)


def proximal_sgd(w, g, s, t, lr=0.1, strength=1e-4):
    u = w - lr * g
    return np.sign(u) * np.maximum(np.abs(u) - lr * strength, 0)


CASES = [
    (ema_momentum, {}),
    (ema_momentum, {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.1}),
    (nadam, {}),
    (nadam, {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-3, "momentum_decay": 0.5, "weight_decay": 0.1}),
    (lion, {}),
    (lion, {"lr": 0.05, "betas": [0.5, 0.8], "weight_decay": 0.3}),
    (proximal_sgd, {}),
    (proximal_sgd, {"lr": 0.05, "strength": 3.0}),
]


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize(("reference", "settings"), CASES)
def test_steps_match_the_formula(reference, settings, dtype, rtol):
    points, _ = trained(reference.__name__, settings, dtype)
    np.testing.assert_allclose(points, path(reference, settings), rtol=rtol, atol=rtol / 100)


@examples(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(0, 0.99), st.floats(1e-3, 0.2))
def test_averaged_momentum_is_heavy_ball_at_a_scaled_learning_rate(momentum, lr):
    averaged, _ = trained("ema_momentum", {"lr": lr, "momentum": momentum}, torch.float64)
    ball, _ = trained("momentum", {"lr": lr * (1 - momentum), "momentum": momentum}, torch.float64)
    np.testing.assert_allclose(averaged, ball, rtol=1e-9, atol=1e-12)


@examples(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-100, 100).filter(lambda g: abs(g) > 1e-6), min_size=1, max_size=9))
def test_lion_moves_every_weight_by_the_learning_rate(gradients):
    p = torch.nn.Parameter(torch.zeros(len(gradients), dtype=torch.float64))
    optimizer = built("lion", {"lr": 0.25}, [p])
    p.grad = torch.tensor(gradients, dtype=torch.float64)
    optimizer.step()
    np.testing.assert_array_equal(p.detach(), -0.25 * np.sign(gradients))


@examples(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=9), st.floats(0, 2))
def test_proximal_sgd_converges_to_the_lasso(target, strength):
    """Minimize |w - target|² / 2 + strength · |w|: the target moved towards zero by the strength, at most to zero."""
    a = np.array(target)
    p = torch.nn.Parameter(torch.ones(len(a), dtype=torch.float64))
    optimizer = built("proximal_sgd", {"lr": 0.5, "strength": strength}, [p])
    for _ in range(60):
        p.grad = p.detach() - torch.tensor(a)
        optimizer.step()
    np.testing.assert_allclose(p.detach(), np.sign(a) * np.maximum(np.abs(a) - strength, 0), atol=1e-9)
    assert (p.detach().numpy()[np.abs(a) < strength - 1e-6] == 0).all()


def noisy(seed=0, steps=1, lr=0.1, temperature=0.02, curvature=0.0, sizes=(20_000,)):
    parameters = [torch.nn.Parameter(torch.zeros(n, dtype=torch.float64)) for n in sizes]
    optimizer = built("noisy_gd", {"lr": lr, "temperature": temperature}, parameters, seed)
    points = []
    for _ in range(steps):
        for p in parameters:
            p.grad = curvature * p.detach()
        optimizer.step()
        points.append([p.detach().clone() for p in parameters])
    return points


def test_noise_is_normal_with_its_variance():
    drawn = noisy()[0][0].numpy()
    assert scipy.stats.kstest(drawn, scipy.stats.norm(0, math.sqrt(2 * 0.1 * 0.02)).cdf).pvalue > 1e-3


def test_noise_of_steps_and_parameters_is_independent():
    first, second = noisy(steps=2, sizes=(20_000, 20_000))
    draws = torch.stack([*first, second[0] - first[0], second[1] - first[1], noisy(seed=1)[0][0]])
    others = torch.corrcoef(draws) - torch.eye(5)
    assert others.abs().max() < 5 / math.sqrt(20_000)


def test_noisy_gd_samples_a_quadratic_at_its_temperature():
    """w ← (1 - lr) w + noise has variance temperature / (1 - lr / 2): that of exp(-w² / 2 T) as lr goes to 0."""
    drawn = noisy(steps=60, lr=0.2, temperature=0.5, curvature=1.0)[-1][0]
    assert drawn.var().item() == pytest.approx(0.5 / 0.9, rel=4 * math.sqrt(2 / 20_000))


def test_zero_temperature_has_no_noise():
    points, _ = trained("noisy_gd", {"lr": 0.05, "temperature": 0.0}, torch.float64)
    expected, _ = trained("sgd", {"lr": 0.05}, torch.float64)
    np.testing.assert_allclose(points, expected, rtol=1e-12, atol=1e-12)
