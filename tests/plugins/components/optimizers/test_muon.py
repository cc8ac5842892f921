"""Tests of Muon against the singular value decomposition: its iteration is a polynomial of each singular value."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_components.optimizers.muon import orthogonalize
from tests.plugins.components.optimizers.helpers import built

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def flattened(u, steps=5):
    """Return U p(S / |S|) Vᵀ, with p the iterated polynomial."""
    left, s, right = np.linalg.svd(u, full_matrices=False)
    s = s / (np.sqrt((s**2).sum()) + 1e-7)
    for _ in range(steps):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return left * s @ right


def normal(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SHAPES, st.integers(0, 2**32), st.integers(1, 6))
def test_iteration_is_a_polynomial_of_the_singular_values(shape, seed, steps):
    u = normal(shape, seed)
    result = orthogonalize(torch.tensor(u), steps)
    np.testing.assert_allclose(result, flattened(u, steps), atol=1e-9)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(SHAPES, st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_iteration_is_invariant_to_scale_and_transposition(shape, seed, size):
    u = torch.tensor(normal(shape, seed))
    torch.testing.assert_close(orthogonalize(size * u, 5), orthogonalize(u, 5), rtol=0, atol=1e-2)
    torch.testing.assert_close(orthogonalize(u.mT, 5).mT, orthogonalize(u, 5), rtol=0, atol=1e-9)


def test_singular_values_are_near_one():
    values = torch.linalg.svdvals(orthogonalize(torch.tensor(normal((40, 100), 0)), 5))
    assert values.min() > 0.65
    assert values.max() < 1.25


def test_zero_matrix_stays_zero():
    assert not orthogonalize(torch.zeros(3, 4), 5).any()


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (3, 7), (4, 2, 3, 3)])
def test_matrices_and_kernels_step_by_the_formula(shape, nesterov):
    start, kept, v = normal(shape, 0), normal(shape, 0), 0
    p = torch.nn.Parameter(torch.tensor(start))
    chosen = {"lr": 0.1, "momentum": 0.8, "nesterov": nesterov, "weight_decay": 0.3}
    optimizer = built("muon", chosen, [p])
    for t in range(1, 6):
        g = normal(shape, t)
        p.grad = torch.tensor(g)
        optimizer.step()
        v = 0.8 * v + 0.2 * g
        u = (0.8 * v + 0.2 * g if nesterov else v).reshape(shape[0], -1)
        direction = math.sqrt(max(1, u.shape[0] / u.shape[1])) * flattened(u)
        kept = kept - 0.1 * (direction.reshape(shape) + 0.3 * kept)
        np.testing.assert_allclose(p.detach(), kept, atol=1e-9)


def test_other_parameters_step_by_adamw():
    chosen = {"betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.2}
    ours, theirs = (torch.nn.Parameter(torch.ones(5, dtype=torch.float64)) for _ in range(2))
    matrix = torch.nn.Parameter(torch.ones(2, 2, dtype=torch.float64))
    optimizers = [
        built("muon", {"adamw_lr": 0.05, **chosen}, [ours, matrix]),
        built("adamw", {"lr": 0.05, **chosen}, [theirs]),
    ]
    for t in range(5):
        matrix.grad = torch.ones_like(matrix)
        for p, optimizer in zip((ours, theirs), optimizers, strict=True):
            p.grad = torch.tensor(normal(5, t))
            optimizer.step()
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_both_groups_have_their_learning_rate():
    matrix, bias = torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(2))
    groups = built("muon", {"lr": 0.1, "adamw_lr": 0.01}, [bias, matrix]).param_groups
    assert [(group["params"], group["lr"]) for group in groups] == [([matrix], 0.1), ([bias], 0.01)]
