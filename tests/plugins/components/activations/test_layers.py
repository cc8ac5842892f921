"""Tests of activations that are modules, against formulas along the channels of any shape."""

import numpy as np
import pytest
import scipy.special
import torch
from torch import nn

import harness
from harness.registry.instantiate import trait
from harness.registry.kinds import KEY
from tests.plugins.components.helpers import make

SHAPES = [(5, 6), (5, 6, 3), (5, 6, 3, 2)]


def inputs(shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3


@pytest.mark.parametrize("shape", SHAPES)
def test_prelu_has_a_slope_for_each_channel(shape):
    module = make("activation", "prelu", {"init": 0.1}, features=6, axis=1).double()
    assert module.weight.shape == (6,)
    assert module.weight.unique().tolist() == pytest.approx([0.1])
    with torch.no_grad():
        module.weight.copy_(torch.arange(6) / 10)
    x = inputs(shape)
    slopes = (np.arange(6) / 10).reshape(1, 6, *[1] * (len(shape) - 2))
    assert module(x).detach().numpy() == pytest.approx(np.where(x > 0, x, slopes * x.numpy()))


@pytest.mark.parametrize("form", ["stable", "naive"])
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_is_over_the_channels(shape, form):
    x = inputs(shape)
    outputs = make("activation", "softmax", {"form": form}, features=6, axis=1)(x)
    np.testing.assert_allclose(outputs.numpy(), scipy.special.softmax(x, 1), rtol=1e-12, atol=1e-14)


def test_naive_softmax_overflows_and_the_stable_one_does_not():
    x = torch.tensor([[89.0, 0.0]])
    assert make("activation", "softmax", {"form": "naive"}, features=2, axis=1)(x).isnan().any()
    stable = make("activation", "softmax", features=2, axis=1)(x)
    np.testing.assert_allclose(stable.numpy(), [[1.0, 0.0]], rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("shape", SHAPES)
def test_swiglu_gates_one_half_by_the_other(shape):
    x = inputs(shape)
    gate, value = np.split(x.numpy(), 2, axis=1)
    expected = gate * scipy.special.expit(gate) * value
    assert make("activation", "swiglu", features=6, axis=1)(x).numpy() == pytest.approx(expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pieces", [2, 3])
def test_maxout_takes_the_maximum_of_adjacent_channels(shape, pieces):
    x = inputs(shape)
    expected = x.numpy().reshape(shape[0], 6 // pieces, pieces, *shape[2:]).max(2)
    assert make("activation", "maxout", {"pieces": pieces}, features=6, axis=1)(x).numpy() == pytest.approx(expected)


def test_maxout_needs_whole_groups():
    with pytest.raises(harness.HarnessError, match=r"groups of activation\.pieces=4, and this layer has 6"):
        make("activation", "maxout", {"pieces": 4}, features=6, axis=1)


def test_width_factor_of_the_layer_before():
    assert trait("activation", {KEY: "maxout", "pieces": 3}, "width_factor", 1) == 3
    assert trait("activation", {KEY: "swiglu"}, "width_factor", 1) == 2
    assert trait("activation", {KEY: "prelu"}, "width_factor", 1) == 1


@pytest.mark.parametrize("name", ["prelu", "softmax", "swiglu", "maxout"])
@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_networks_use_layer_activations_with_their_width_factor(name, model, workdir):
    sizes = ["model.width=12", "model.depth=1"] if model == "mlp" else ["model.channels=[6]"]
    record = harness.run([f"model={model}", *sizes, f"activation={name}", "epochs=1"])
    assert record.status == "completed"
    trained = harness.load_model(record)
    layer = next(m for m in trained.modules() if isinstance(m, (nn.Linear, nn.Conv2d)))
    factor = trait("activation", record.config["activation"], "width_factor", 1)
    assert layer.weight.shape[0] == factor * (12 if model == "mlp" else 6)
