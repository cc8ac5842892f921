"""Tests of the dense form of convolutions, against torch's, and of the ensemble of a network's noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from harness.datasets.dataset import Dataset, Samples
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness_components.diagnostics.equivalents import convolution_matrix
from tests.plugins.components.helpers import measured


def classes(x, y):
    part = Samples(x, y)
    return Dataset(part, part, part, target="class", classes=tuple("abc"))


def images(n=6, shape=(2, 7, 5)):
    x = torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))
    return classes(x, torch.arange(n) % 3)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Conv2d(2, 4, (3, 2), stride=2, dilation=(1, 2), bias=False),
        nn.Conv2d(2, 4, 3, padding=(2, 0), groups=2),
        nn.AvgPool2d(2),
        nn.AvgPool2d((3, 2), stride=1),
    ],
)
def test_matrix_computes_what_torchs_layer_computes(layer):
    layer, x = layer.double(), images().val.x.double()
    with torch.no_grad():
        output = layer(x)
    matrix, shape = convolution_matrix(layer, (2, 7, 5))
    assert shape == output.shape[1:]
    dense = x.flatten(1) @ matrix.T
    bias = getattr(layer, "bias", None)
    if bias is not None:
        dense = dense + bias.detach().repeat_interleave(shape[1] * shape[2])
    torch.testing.assert_close(dense, output.flatten(1), rtol=1e-12, atol=1e-12)


class Wrong(nn.Conv2d):
    """Compute something else than its kernel says."""

    def forward(self, x):
        return super().forward(x) + 0.1 * x.mean()


def network(layer):
    return nn.Sequential(layer, nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4 * 3 * 2, 3)).eval()


def test_layer_matrix_is_zero_for_convolutions_and_large_for_other_layers():
    torch.manual_seed(0)
    values = measured("layer_matrix", model=network(nn.Conv2d(2, 4, 3, padding=1)), dataset=images())
    assert values.keys() == {"model", "0", "2"}
    assert max(values.values()) < 1e-12
    values = measured("layer_matrix", model=network(Wrong(2, 4, 3, padding=1)), dataset=images())
    assert values["0"] > 1e-4
    assert values["model"] > 1e-5


def test_layer_matrix_measures_nothing_without_convolutions():
    dense = nn.Sequential(nn.Flatten(), nn.Linear(70, 3))
    assert measured("layer_matrix", model=dense, dataset=images()) == {}
    assert measured("layer_matrix", model=dense, dataset=classes(torch.zeros(6, 4), torch.arange(6) % 3)) == {}


def test_noise_ensemble_means_are_those_of_the_draws():
    torch.manual_seed(0)
    model, dataset = nn.Sequential(nn.Linear(4, 9), nn.Dropout(0.5), nn.Linear(9, 3)), images(9, (4,))
    x, y = dataset.val.x, dataset.val.y
    noise = Noise(keys(torch.tensor(0), 0))
    with Redirect(noise):
        values = measured("noise_ensemble", {"draws": 7}, model=model.eval(), dataset=dataset)
    with torch.no_grad(), Redirect(Noise(keys(torch.tensor(0), 0))):
        evaluated = model.eval()(x).numpy()
        logs = np.stack([log_softmax(model.train()(x).double().numpy(), axis=1) for _ in range(7)])
    rows = np.arange(9)
    expected = {
        "draw": -logs[:, rows, y].mean(),
        "eval": -log_softmax(evaluated.astype(float), axis=1)[rows, y].mean(),
        "arithmetic": -np.log(np.exp(logs).mean(0))[rows, y].mean(),
        "geometric": -log_softmax(logs.mean(0), axis=1)[rows, y].mean(),
    }
    for name, value in expected.items():
        assert values[name] == pytest.approx(value, rel=1e-5), name
    gain = expected["draw"] - expected["geometric"]
    assert values["recovered"] == pytest.approx((expected["draw"] - expected["eval"]) / gain, rel=1e-3)


def test_evaluation_is_the_geometric_mean_in_one_layer():
    torch.manual_seed(0)
    model, dataset = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3)).eval(), images(30, (6,))
    with Redirect(Noise(keys(torch.tensor(0), 0))):
        values = measured("noise_ensemble", {"draws": 3000}, model=model, dataset=dataset)
    assert values["recovered"] == pytest.approx(1, abs=0.03)
    assert values["arithmetic"] != pytest.approx(values["eval"], rel=1e-3)


def test_noise_ensemble_of_a_network_without_noise_recovers_nothing():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    values = measured("noise_ensemble", {"draws": 2}, model=model, dataset=images(9, (4,)))
    assert values["recovered"] == 0
    assert values["draw"] == pytest.approx(values["eval"], rel=1e-5)
    assert measured("noise_ensemble", model=nn.Linear(4, 1), dataset=images(9, (4,))) == {}
