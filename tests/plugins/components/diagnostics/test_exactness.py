"""Tests of comparisons with exact statements, on networks whose answer is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tests.plugins.components.diagnostics.test_curvature import network
from tests.plugins.components.helpers import measured

X = torch.linspace(-1, 2, 24, dtype=torch.float64).reshape(8, 3)


def affine_residual(*layers: nn.Module) -> dict[str, float]:
    torch.manual_seed(0)
    return measured("affine_residual", model=nn.Sequential(*layers).double().eval(), x=X)


def test_linear_layers_are_affine_and_a_bend_is_measured_where_it_is():
    values = affine_residual(nn.Linear(3, 5), nn.Dropout(), nn.Linear(5, 2))
    assert values.keys() == {"", "0", "1", "2"}
    assert max(values.values()) < 1e-14
    bent = affine_residual(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    assert max(bent["0"], bent["2"]) < 1e-14
    assert min(bent[""], bent["1"]) > 0.01


def test_affine_residual_of_a_square():
    class Square(nn.Module):
        def forward(self, x):
            return x.square()

    values = measured("affine_residual", model=Square(), x=X)
    # ((a + b) / 2)² - (a² + b²) / 2 = -(a - b)² / 4
    expected = ((X - X.roll(1, 0)) ** 2 / 4).square().mean().sqrt() / (X**2 - (X**2).mean(0)).square().mean().sqrt()
    assert values == {"": pytest.approx(float(expected), rel=1e-12, abs=0)}


def test_affine_residual_of_a_constant_is_zero():
    zero = nn.Linear(3, 2)
    nn.init.zeros_(zero.weight)
    assert affine_residual(zero) == {"": 0.0, "0": 0.0}


def test_back_propagated_gradient_agrees_with_differences_and_a_wrong_one_does_not():
    loss, params = network()
    assert measured("gradient_check", params=params, loss=loss)[""] < 1e-8

    class Wrong(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.clone()

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, g):
            return 2 * g  # as if a factor were forgotten

    assert measured("gradient_check", params=params, loss=lambda p: Wrong.apply(loss(p)))[""] == pytest.approx(
        1 / 3, rel=1e-6, abs=0
    )


def test_no_direction_falls_more_steeply_in_a_short_step_and_some_do_in_a_long_one():
    curvature = torch.tensor([100.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    params = {"w": torch.tensor([1.0, 2.0, 0.0, 0.0], dtype=torch.float64)}

    def bowl(p):
        return (curvature * p["w"] ** 2).sum() / 2

    g = curvature * params["w"]
    short = measured("steepest_descent", {"radius": 1e-4, "directions": 64}, params=params, loss=bowl)
    assert short["better"] == 0.0
    assert short["gradient"] == pytest.approx(-1e-4 * math.hypot(*g.tolist()), rel=1e-2, abs=0)
    assert short["gradient"] < short["best_random"]
    long = measured("steepest_descent", {"radius": 4.0, "directions": 64}, params=params, loss=bowl)
    assert long["gradient"] > 0
    assert long["better"] > 0.5
    assert long["best_random"] < long["gradient"]
