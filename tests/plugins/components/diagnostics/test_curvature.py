"""Tests of curvature against dense Hessians and functions with known Hessians."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from harness_components.diagnostics.curvature import eigenvalues, hessian_times, lanczos, random_vector
from tests.plugins.components.helpers import measured


def network(seed: int = 0):
    """Return (loss(params), params) of a small classifier, in float64."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    x, y = torch.randn(30, 4, dtype=torch.float64), torch.randint(0, 3, (30,))
    params = {name: p.detach() for name, p in net.named_parameters()}
    return lambda own: torch.nn.functional.cross_entropy(functional_call(net, own, (x,)), y), params


def dense(loss, params) -> np.ndarray:
    """Return the full Hessian, by torch.autograd.functional."""
    names, sizes = list(params), [p.numel() for p in params.values()]

    def of(vector):
        parts = vector.split(sizes)
        return loss({n: part.view(params[n].shape) for n, part in zip(names, parts, strict=True)})

    return torch.autograd.functional.hessian(of, torch.cat([p.flatten() for p in params.values()])).numpy()


def test_eigenvalues_match_the_dense_hessian():
    loss, params = network()
    matrix = dense(loss, params)
    expected = np.linalg.eigvalsh(matrix)
    values = measured("hessian", {"iterations": 50}, params=params, loss=loss, lr=0.3)
    assert values["largest"] == pytest.approx(expected[-1], rel=1e-9)
    assert values["smallest"] == pytest.approx(expected[0], rel=1e-9)
    assert values["lr_over_limit"] == pytest.approx(0.3 / (2 / expected[-1]), rel=1e-9)
    few = measured("hessian", {"iterations": 20}, params=params, loss=loss, lr=0.3)
    assert expected[-1] * 0.999 < few["largest"] <= expected[-1] * (1 + 1e-12)
    v = random_vector(params, 3)
    np.testing.assert_allclose(hessian_times(loss, params)(v), matrix @ v.numpy(), rtol=1e-9, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-50, 50), min_size=1, max_size=7), st.integers(0, 10), st.integers(1, 12))
def test_lanczos_stays_within_the_spectrum(spectrum, seed, iterations):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(len(spectrum), len(spectrum))))
    matrix = torch.tensor(q @ np.diag(spectrum) @ q.T)
    values, shares = lanczos(lambda v: matrix @ v, torch.tensor(rng.normal(size=len(spectrum))), iterations)
    assert float(shares.sum()) == pytest.approx(1)
    slack = 1e-6 * max(map(abs, spectrum)) + 1e-12
    assert len(values) == iterations
    assert min(spectrum) - slack <= values[0]
    assert values[-1] <= max(spectrum) + slack
    if iterations >= len(spectrum):  # more iterations than dimensions
        gap = min((abs(a - b) for a, b in zip(sorted(spectrum), sorted(spectrum)[1:], strict=False)), default=math.inf)
        if gap > 0.1:
            assert (float(values[0]), float(values[-1])) == pytest.approx((min(spectrum), max(spectrum)), abs=1e-4)


def test_nonfinite_loss_has_no_eigenvalues():
    assert eigenvalues(torch.tensor([[1.0, math.nan], [math.nan, 1.0]])).isnan().all()
    values = measured("hessian", params={"w": torch.ones(3)}, loss=lambda p: (p["w"].square() * math.nan).sum(), lr=0.1)
    assert math.isnan(values["largest"])


def test_trace_is_estimated_within_its_error():
    loss, params = network(1)
    matrix = dense(loss, params)
    values = measured("hessian_trace", {"directions": 64}, params=params, loss=loss)
    assert abs(values[""] - np.trace(matrix)) < 4 * values["error"]
    off = matrix - np.diag(np.diag(matrix))  # Hutchinson's variance with random signs: 2 |H - diag H|²
    assert values["error"] == pytest.approx(math.sqrt(2 * (off**2).sum() / 64), rel=0.5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.1, 9), min_size=2, max_size=5), st.floats(0.01, 1))
def test_sharpness_of_a_quadratic_matches_the_closed_form(curvatures, radius):
    a = torch.tensor(curvatures, dtype=torch.float64)
    w = torch.ones_like(a)
    g = a * w  # of L = Σ a w² / 2
    expected = radius * g.norm() + radius**2 * (a * g * g).sum() / (g * g).sum() / 2
    values = measured("sharpness", {"radius": radius}, params={"w": w}, loss=lambda p: (a * p["w"] ** 2).sum() / 2)
    assert values[""] == pytest.approx(float(expected), rel=1e-9)


def test_hessian_index_of_a_saddle_and_of_a_network():
    signs = torch.tensor([3.0, 1.0, 0.0, -2.0, -1.0])
    values = measured("hessian_index", params={"w": torch.zeros(5)}, loss=lambda p: (signs * p["w"] ** 2).sum() / 2)
    counts = {name: values[name] for name in ("negative", "zero", "positive", "gradient_norm")}
    assert counts == {"negative": 2, "zero": 1, "positive": 2, "gradient_norm": 0}
    assert (values["smallest"], values["largest"]) == (-2, 3)
    loss, params = network(2)
    expected = np.linalg.eigvalsh(dense(loss, params))
    values = measured("hessian_index", params=params, loss=loss)
    level = 1e-5 * np.abs(expected).max()
    assert (values["negative"], values["positive"]) == ((expected < -level).sum(), (expected > level).sum())
    assert values["negative"] + values["zero"] + values["positive"] == pytest.approx(len(expected))


def test_hessian_index_of_a_large_network_is_estimated():
    rates = torch.cat([torch.linspace(-2, -0.5, 300), torch.zeros(300), torch.linspace(0.1, 3, 900)])
    bowl = {"params": {"w": torch.zeros(1500)}, "loss": lambda p: (rates * p["w"] ** 2).sum() / 2}
    values = measured("hessian_index", {"exact": 10, "directions": 8}, **bowl)
    assert values["negative"] == pytest.approx(300, rel=0.1)
    assert values["zero"] == pytest.approx(300, rel=0.2)
    assert values["positive"] == pytest.approx(900, rel=0.1)
    assert (values["smallest"], values["largest"]) == pytest.approx((-2, 3), rel=0.01)
    loss, params = network(2)
    whole = measured("hessian_index", params=params, loss=loss)
    blurred = measured("hessian_index", {"exact": 10, "directions": 64}, params=params, loss=loss)
    assert blurred["positive"] == pytest.approx(whole["positive"], rel=0.15)
    assert blurred["largest"] == pytest.approx(whole["largest"], rel=1e-4)
