"""Tests of the tensors of a model that an initializer fills, and their fans."""

import pytest
import torch
from torch import nn

from harness.config.seeds import generator
from harness.modeling.initialization import initialize, layers


def fans(model):
    return [(fan_in, fan_out) for _, _, fan_in, fan_out in layers(model)]


@pytest.mark.parametrize(
    ("module", "tensor", "transposed"),
    [
        (nn.Linear(5, 3), (3, 5), False),
        (nn.Conv1d(4, 6, 3), (6, 4, 3), False),
        (nn.Conv2d(4, 6, (3, 5)), (6, 4, 3, 5), False),
        (nn.Conv2d(4, 6, 3, groups=2), (6, 2, 3, 3), False),
        (nn.Conv3d(2, 3, 2), (3, 2, 2, 2, 2), False),
        (nn.ConvTranspose2d(4, 6, 3), (4, 6, 3, 3), True),
    ],
)
def test_fans_are_torchs(module, tensor, transposed):
    assert tuple(module.weight.shape) == tensor
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
    assert fans(module) == [(fan_out, fan_in) if transposed else (fan_in, fan_out)]


def test_matrices_come_in_model_order_with_their_biases():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.PReLU(), nn.Linear(3, 4, bias=False))
    matrices = list(layers(model))
    assert [weight is m.weight for (weight, *_), m in zip(matrices, (model[0], model[3]), strict=True)] == [True, True]
    assert matrices[0][1] is model[0].bias
    assert matrices[1][1] is None


@pytest.mark.parametrize(
    "module",
    [
        nn.Embedding(7, 3),
        nn.EmbeddingBag(7, 3),
        nn.LayerNorm([3, 4]),
        nn.RMSNorm([3, 4]),
        nn.BatchNorm2d(3),
        nn.PReLU(3),
    ],
)
def test_embeddings_and_scales_are_not_initialized(module):
    before = {name: p.clone() for name, p in module.named_parameters()}
    initialize(module, lambda weight, **rest: weight.fill_(7), 1.0, generator(0))
    assert list(layers(module)) == []
    assert all(torch.equal(p, before[name]) for name, p in module.named_parameters())


def test_matrices_of_attention_and_recurrent_layers_are_found():
    attention = list(layers(nn.MultiheadAttention(4, 2)))
    assert [tuple(weight.shape) for weight, *_ in attention] == [(12, 4), (4, 4)]
    assert all(bias is not None for _, bias, *_ in attention)
    rnn = nn.LSTM(5, 3, num_layers=2)
    matrices = list(layers(rnn))
    assert fans(rnn) == [(5, 12), (3, 12), (3, 12), (3, 12)]
    assert matrices[0][1] is rnn.bias_ih_l0
    assert matrices[3][1] is rnn.bias_hh_l1


def test_layers_are_filled_in_order_and_biases_start_at_zero():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))
    source = generator(3)
    seen = []

    def fill(*, weight, bias, fan_in, fan_out, gain, index, generator):
        assert generator is source
        seen.append((index, fan_in, fan_out, gain, bias.abs().sum().item()))
        weight.fill_(index + 1)
        if index == 1:
            bias.fill_(5)

    initialize(model, fill, 1.5, source)
    assert seen == [(0, 2, 3, 1.5, 0.0), (1, 3, 4, 1.5, 0.0)]
    assert model[0].weight.unique().tolist() == [1]
    assert model[0].bias.tolist() == [0] * 3
    assert model[2].bias.tolist() == [5] * 4
    assert model[0].weight.requires_grad
    assert model[0].weight.grad_fn is None


def test_weights_depend_on_the_generators_seed():
    def initialized(seed):
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        initialize(model, lambda weight, generator, **_: weight.normal_(generator=generator), 1.0, generator(seed))
        return torch.cat([p.flatten() for p in model.parameters()])

    assert torch.equal(initialized(1), initialized(1))
    assert not torch.equal(initialized(1), initialized(2))
