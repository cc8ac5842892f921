import math

import numpy as np
import pytest
import scipy.special
import torch

from harness.build import trait
from harness.schema import KEY
from tests.components.helpers import make

X = torch.linspace(-6, 6, 241, dtype=torch.float64)
REFERENCES = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": scipy.special.expit,
    "tanh": lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_values(name):
    np.testing.assert_allclose(make("activation", name, x=X).numpy(), REFERENCES[name](X.numpy()), atol=1e-15)


@pytest.mark.parametrize("name", REFERENCES)
def test_gradients(name):
    x = X[X != 0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: make("activation", name, x=x), x[::7])


def test_the_slope_of_relu_at_zero_is_zero():
    x = torch.zeros(1, requires_grad=True)
    make("activation", "relu", x=x).sum().backward()
    assert x.grad.item() == 0


def test_extreme_inputs_stay_finite():
    x = torch.tensor([-1e30, 1e30])
    assert make("activation", "sigmoid", x=x).tolist() == [0, 1]
    assert make("activation", "tanh", x=x).tolist() == [-1, 1]


@pytest.mark.parametrize("slope", [0.0, 0.2, 0.9])
def test_the_slope_of_leaky_relu(slope):
    found = make("activation", "leaky_relu", {"negative_slope": slope}, x=X)
    np.testing.assert_allclose(found.numpy(), np.where(X > 0, X, slope * X))


@pytest.mark.parametrize("settings", [{KEY: "relu"}, {KEY: "leaky_relu"}, {KEY: "leaky_relu", "negative_slope": 0.3}])
def test_the_gain_of_a_rectifier_keeps_the_mean_square(settings):
    x = torch.randn(200_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = make("activation", settings[KEY], {k: v for k, v in settings.items() if k != KEY}, x=x)
    gain = trait("activation", settings, "gain", None)
    assert (gain * y).square().mean().item() == pytest.approx(x.square().mean().item(), rel=0.02)


@pytest.mark.parametrize("name", ["relu", "tanh", "leaky_relu"])
def test_the_gain_is_torchs(name):
    assert trait("activation", {KEY: name}, "gain", None) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert math.isfinite(trait("activation", {KEY: name}, "gain", None))
