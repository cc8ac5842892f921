"""Tests of measurements of layer outputs, on cases made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import harness
from harness.modeling.diagnostic import Layer
from tests.plugins.components.helpers import measured


def layer(output, role="activation", gradient=None):
    output = torch.as_tensor(output, dtype=torch.float64)
    return Layer(output, torch.zeros_like(output) if gradient is None else torch.as_tensor(gradient), role)


def test_dead_units_and_zeros_are_counted():
    output = [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 3.0], [0.0, 0.0, 1.0]]  # [samples, units]
    values = measured("dead_units", layers={"a": layer(output), "w": layer(output, "weights")})
    assert values == {"a/dead": pytest.approx(1 / 3), "a/zeros": pytest.approx(8 / 12)}
    channels = torch.zeros(2, 4, 3, 3)
    channels[0, 1, 2, 2] = channels[1, 3] = 1.0
    values = measured("dead_units", layers={"a": layer(channels)})
    assert values == {"a/dead": pytest.approx(2 / 4), "a/zeros": pytest.approx(1 - 10 / 72)}


def test_revived_and_died_units_are_counted_since_the_start():
    start = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])  # units 0 and 1 are dead
    now = [[0.0, 0.0, 0.0, 1.0], [3.0, 0.0, 0.0, 1.0]]  # 0 is alive, 2 has died
    values = measured("revived_units", layers={"a": layer(now), "w": layer(now, "weights")}, start_layers={"a": start})
    assert values == {"a/revived": 1 / 4, "a/died": 1 / 4}


def test_exact_zeros_of_gradients_are_counted():
    gradient = [[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]
    values = measured("gradient_zeros", layers={"w": layer(np.ones((2, 3)), "weights", gradient),
                                                "n": layer(np.ones((2, 3)), "normalization", gradient)})  # fmt: skip
    assert values == {"w/zeros": pytest.approx(4 / 6), "w/units": pytest.approx(1 / 3)}


def test_smallest_and_largest_slope_of_an_activation():
    slopes = {"a": torch.tensor([[-0.5, 0.25], [0.0, 2.0]]), "b": torch.tensor([[1.0]])}
    values = measured("activation_slope", slopes=slopes)
    assert values == {"a/smallest": -0.5, "a/largest": 2.0, "b/smallest": 1.0, "b/largest": 1.0}


def test_saturation_is_the_share_of_flat_slopes():
    x = torch.linspace(-10, 10, 2001, dtype=torch.float64)
    s = torch.sigmoid(x)
    slopes = {"sigmoid": (s * (1 - s))[:, None], "relu": (x > 0).double()[:, None], "line": torch.ones(5, 2)}
    values = measured("saturation", {"below": 0.05}, slopes=slopes)
    # 4 s (1 - s) < 0.05 beyond |x| = ln((1 + r) / (1 - r)), r = sqrt(0.95)
    edge = math.log((1 + math.sqrt(0.95)) / (1 - math.sqrt(0.95)))
    assert values["sigmoid"] == pytest.approx(1 - edge / 10, abs=2e-3)
    assert values["relu"] == pytest.approx(1001 / 2001)
    assert values["line"] == 0.0


def test_activation_gradient_is_the_rms_of_each_layer():
    layers = {
        "first": layer(np.ones((4, 2)), "weights", np.full((4, 2), 1e-6)),
        "norm": layer(np.ones((4, 2)), "normalization", np.full((4, 2), 5.0)),
        "last": layer(np.ones((4, 1)), "weights", [[0.3], [0.4], [-0.3], [-0.4]]),
    }
    values = measured("activation_gradient", layers=layers)
    assert values["last"] == pytest.approx(math.sqrt((0.09 + 0.16) / 2))
    assert values == {"first": pytest.approx(1e-6), "last": values["last"],
                     "first_to_last": pytest.approx(1e-6 / values["last"])}  # fmt: skip
    assert measured("activation_gradient", layers={"only": layers["last"]}).keys() == {"only"}


@pytest.mark.parametrize(("bad", "place"), [([], -1), ([0], 0), ([2, 1], 1), ([0, 1, 2], 0)])
def test_numerics_names_the_first_nonfinite_layer(bad, place):
    outputs = [np.array([[1.0, -2.0]]) * (k + 1) for k in range(3)]
    for k in bad:
        outputs[k][0, 1] = math.inf if k % 2 else math.nan
    layers = {f"layer{k}": layer(output, "weights") for k, output in enumerate(outputs)}
    arguments = {"params": {"w": torch.tensor([-7.0, 1.0])}, "grads": {"w": torch.tensor([0.5])}, "layers": layers}
    values = measured("numerics", **arguments)
    assert values["first_not_finite"] == place
    assert (values["weight"], values["gradient"]) == (7.0, 0.5)
    if not bad:
        assert values["activation"] == 6.0


def test_mean_and_deviation_of_activations_and_inputs():
    x = np.random.default_rng(0).normal(3, 2, (50, 2, 3))
    values = measured("activations", layers={"a": layer(x), "n": layer(x, "normalization")})
    assert values == {"a/mean": pytest.approx(x.mean()), "a/std": pytest.approx(x.std())}
    values = measured("inputs", x=torch.tensor(x))
    assert values == {"mean": pytest.approx(x.mean()), "std": pytest.approx(x.std()),
                     "largest": pytest.approx(np.abs(x).max()), "widest": pytest.approx(x.std(0).max())}  # fmt: skip
    assert measured("inputs", x=torch.arange(5)) == {}  # word indices


def test_dropout_drops_its_share_and_batch_norm_nothing(workdir):
    line = ["data=digits", "model=mlp", "model.width=64", "activation=tanh", "epochs=1", "diagnostic=[gradient_zeros]"]
    runs = {
        "dropout": [*line, "regularizer=[dropout]", "regularizer.dropout.p=0.3"],
        "batch_norm": [*line, "normalization=batch_norm"],
    }
    last = {name: harness.run(words).diagnostics["gradient_zeros"]["last"] for name, words in runs.items()}
    assert set(last["batch_norm"].values()) == {0.0}
    shares = [share for name, share in last["dropout"].items() if name.endswith("activation/zeros")]
    assert shares == pytest.approx([0.3, 0.3], abs=0.05)
