"""Tests of initializers that use data."""

import pytest
import torch
from torch import nn

import harness
from harness.config.seeds import generator
from tests.plugins.components.helpers import make


def deep(activation):
    return nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(20, 20), activation())], nn.Linear(20, 3))


def outputs(model, x):
    seen = []
    for module in model:
        x = module(x)
        if isinstance(module, nn.Linear):
            seen.append(float(x.var()))
    return seen


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Sigmoid, nn.Tanh])
def test_lsuv_gives_every_layer_unit_variance(activation):
    model, x = deep(activation), torch.randn(256, 20, generator=generator(1)) * 5
    with torch.no_grad():
        make("initializer", "lsuv", {"tolerance": 0.05}, model=model, batch=x, generator=generator(0))
        assert outputs(model, x) == pytest.approx([1.0] * 7, abs=0.05)
    product = model[0].weight @ model[0].weight.T
    torch.testing.assert_close(product / product[0, 0], torch.eye(20), atol=1e-5, rtol=0)  # orthogonal, scaled
    assert not any(m.bias.any() for m in model if isinstance(m, nn.Linear))


def test_lsuv_keeps_buffers_and_constant_layers():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    with torch.no_grad():
        make("initializer", "lsuv", model=model, batch=torch.zeros(8, 4), generator=generator(0))
    assert torch.isfinite(model[0].weight).all()
    assert model[1].running_mean.tolist() == [0, 0, 0]
    assert int(model[1].num_batches_tracked) == 0


def test_data_driven_initializer_uses_the_runs_training_data(workdir):
    line = ["initializer=lsuv", "model=mlp", "model.width=8", "epochs=1"]
    one, other = harness.run(line), harness.run([*line, "split.seed=1"])
    assert one.status == other.status == "completed"
    assert harness.run([*line, "rerun=true"]).metrics == one.metrics
    assert harness.load_model(one) is not None
