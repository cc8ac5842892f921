"""Tests of optimizers that evaluate the loss themselves, on small problems."""

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config.seeds import generator
from harness_components.optimizers.closure import lbfgs, random_search, sam

START = [-1.2, 1.0]


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def closure(function, optimizer, p):
    """Return a closure as torch expects it: compute the loss and its gradient."""

    def evaluate():
        optimizer.zero_grad()
        loss = function(p)
        loss.backward()
        return loss

    return evaluate


def parameter(values=START):
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


def test_lbfgs_solves_a_quadratic():
    """torch's iteration ends once a step gains less than 1e-9."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    a, b = torch.tensor(root @ root.T + np.eye(6)), torch.tensor(rng.normal(size=6))
    p = parameter([0.0] * 6)
    optimizer = lbfgs([p], max_iter=60)
    optimizer.step(closure(lambda w: w @ a @ w / 2 - b @ w, optimizer, p))
    np.testing.assert_allclose(p.detach(), np.linalg.solve(a, b), atol=1e-4)


def test_lbfgs_finds_scipys_minimum():
    p = parameter()
    optimizer = lbfgs([p])
    for _ in range(5):
        optimizer.step(closure(rosenbrock, optimizer, p))
    np.testing.assert_allclose(p.detach(), scipy.optimize.minimize(rosenbrock, START, method="L-BFGS-B").x, atol=1e-4)


@pytest.mark.parametrize("line_search", ["none", "strong_wolfe"])
def test_first_step_of_lbfgs_is_along_the_gradient(line_search):
    p = parameter([3.0, 4.0])
    optimizer = lbfgs([p], lr=0.1, max_iter=1, line_search=line_search)
    optimizer.step(closure(lambda w: w.square().sum() / 2, optimizer, p))
    assert p[0].item() / p[1].item() == pytest.approx(0.75)
    if line_search == "none":  # torch begins with lr · min(1, 1 / |g|₁)
        np.testing.assert_allclose(p.detach(), np.array([3.0, 4.0]) * (1 - 0.1 / 7), rtol=1e-7, atol=1e-12)


def slope(w):
    """Return the gradient of rosenbrock, by hand."""
    return np.array([-2 * (1 - w[0]) - 400 * w[0] * (w[1] - w[0] ** 2), 200 * (w[1] - w[0] ** 2)])


@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.1)])
def test_sam_steps_by_the_gradient_at_the_worst_nearby_point(momentum, weight_decay):
    first, second = (torch.nn.Parameter(torch.tensor([x], dtype=torch.float64)) for x in START)
    optimizer = sam([first, second], lr=1e-3, rho=0.1, momentum=momentum, weight_decay=weight_decay)

    def evaluate():
        optimizer.zero_grad()
        loss = rosenbrock(torch.cat([first, second]))
        loss.backward()
        return loss

    w, v = np.array(START), np.zeros(2)
    for _ in range(6):
        loss = optimizer.step(evaluate)
        assert loss.item() == pytest.approx(rosenbrock(w))
        g = slope(w)
        v = momentum * v + slope(w + 0.1 * g / np.sqrt((g**2).sum())) + weight_decay * w
        w = w - 1e-3 * v
        np.testing.assert_allclose([first.item(), second.item()], w, rtol=1e-9, atol=1e-12)


def test_sam_with_zero_radius_is_sgd():
    p, q = parameter(), parameter()
    ours, torchs = sam([p], lr=1e-3, rho=0.0), torch.optim.SGD([q], 1e-3, momentum=0.9)
    for _ in range(5):
        ours.step(closure(rosenbrock, ours, p))
        torchs.step(closure(rosenbrock, torchs, q))
    torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


def test_sam_stays_at_a_minimum():
    p = parameter([1.0, 1.0])
    optimizer = sam([p])
    optimizer.step(closure(rosenbrock, optimizer, p))
    assert p.tolist() == [1, 1]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.floats(1e-3, 1), st.integers(1, 5))
def test_random_search_never_increases_the_loss(seed, lr, candidates):
    p = parameter()
    optimizer = random_search([p], generator(seed), lr=lr, candidates=candidates)
    least = rosenbrock(p).item()
    for _ in range(5):
        optimizer.step(lambda: rosenbrock(p))
        assert rosenbrock(p).item() <= least
        least = rosenbrock(p).item()


def test_random_search_takes_the_best_candidate():
    p, tried = parameter(), []
    optimizer = random_search([p], generator(0), lr=0.1, candidates=7)

    def evaluate():
        tried.append(p.detach().clone())
        return rosenbrock(p)

    assert optimizer.step(evaluate).item() == pytest.approx(rosenbrock(START))
    assert len(tried) == 8
    assert torch.equal(p, min(tried, key=rosenbrock))
    spread = torch.stack(tried[1:]) - tried[0]
    assert 0.03 < spread.std() < 0.3


def test_random_search_descends_without_gradients():
    p = parameter([1.0, -1.0, 2.0])
    optimizer = random_search([p], generator(0), lr=0.1)
    for _ in range(200):
        with torch.no_grad():
            optimizer.step(lambda: p.square().sum())
    assert p.square().sum() < 0.01


def test_random_search_rejects_nan():
    p = parameter([0.0])
    optimizer = random_search([p], generator(0))
    optimizer.step(lambda: torch.where(p[0] == 0, 1.0, torch.nan))
    assert p.item() == 0


@pytest.mark.parametrize("make", [sam, lambda params: random_search(params, generator(0))])
def test_step_without_closure_is_refused(make):
    with pytest.raises(RuntimeError, match=r"call step\(closure\)"):
        make([parameter()]).step()
