import numpy as np
import pytest
import torch

from harness.build import trait
from harness.schema import KEY
from tests.components.helpers import make

SHAPES = {0: (16, 5), 1: (8, 5, 7), 2: (8, 5, 4, 3), 3: (4, 5, 2, 3, 2)}


def inputs(ndim, seed=0):
    x = torch.randn(SHAPES[ndim], dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x * torch.arange(1.0, 6).reshape(1, 5, *[1] * ndim) + 3


def normalization(name, ndim, settings=None):
    module = make("normalization", name, settings, features=5, ndim=ndim).double()
    with torch.no_grad():
        module.weight.copy_(torch.linspace(0.5, 2, 5))
        module.bias.copy_(torch.linspace(-1, 1, 5))
    return module


def expected(x, axes, eps):
    x = x.numpy()
    mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    scale, shift = (v.reshape(1, 5, *[1] * (x.ndim - 2)) for v in (np.linspace(0.5, 2, 5), np.linspace(-1, 1, 5)))
    return scale * (x - mean) / np.sqrt(var + eps) + shift


def test_none_is_nothing():
    assert make("normalization", "none", features=5, ndim=2) is None


@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("ndim", SHAPES)
def test_batch_norm_normalizes_each_channel_over_batch_and_space(ndim, eps):
    module, x = normalization("batch_norm", ndim, {"eps": eps}), inputs(ndim)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(module(x).detach().numpy(), expected(x, axes, eps), rtol=1e-9)


@pytest.mark.parametrize("ndim", SHAPES)
def test_batch_norm_evaluates_with_its_running_averages(ndim):
    module = normalization("batch_norm", ndim, {"momentum": 0.3})
    mean, var = np.zeros(5), np.ones(5)
    for seed in range(3):
        x = inputs(ndim, seed)
        module(x)
        axes = (0, *range(2, x.ndim))
        mean = 0.7 * mean + 0.3 * x.numpy().mean(axes)
        var = 0.7 * var + 0.3 * x.numpy().var(axes, ddof=1)
    np.testing.assert_allclose(module.running_mean.numpy(), mean, rtol=1e-9)
    np.testing.assert_allclose(module.running_var.numpy(), var, rtol=1e-9)
    x = inputs(ndim, 9)
    each = (1, 5, *[1] * ndim)
    plain = (x.numpy() - mean.reshape(each)) / np.sqrt(var.reshape(each) + 1e-5)
    scaled = np.linspace(0.5, 2, 5).reshape(each) * plain + np.linspace(-1, 1, 5).reshape(each)
    np.testing.assert_allclose(module.eval()(x).detach().numpy(), scaled, rtol=1e-9)


@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("ndim", SHAPES)
def test_layer_norm_normalizes_over_the_channels_of_each_sample_and_place(ndim, eps):
    module, x = normalization("layer_norm", ndim, {"eps": eps}), inputs(ndim)
    np.testing.assert_allclose(module(x).detach().numpy(), expected(x, (1,), eps), rtol=1e-9)
    torch.testing.assert_close(module(x[:1]), module(x)[:1])
    assert f"eps={eps}" in repr(module)


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm"])
@pytest.mark.parametrize("ndim", [0, 2])
def test_gradients(name, ndim):
    x = inputs(ndim)[:6].clone().requires_grad_()
    assert torch.autograd.gradcheck(normalization(name, ndim), x)


@pytest.mark.parametrize("name", ["none", "batch_norm", "layer_norm"])
def test_a_bias_is_cancelled_where_the_trait_says_so(name):
    module, x = make("normalization", name, features=5, ndim=0), inputs(0).float()
    shift = torch.linspace(-2, 3, 5)
    same = module is not None and torch.allclose(module(x), module(x + shift), atol=1e-5)
    assert trait("normalization", {KEY: name}, "cancels_bias", False) is same
