"""Tests of the modules between two layers, and their order."""

import pickle

import pytest
import torch
from torch import nn

from harness.modeling.block import Block, Elementwise


def block(normalization=lambda features, ndim: None, layers=(), bias=True, **more):
    return Block(lambda features: nn.ReLU(), normalization, list(layers), bias, **more)


def test_block_is_normalization_activation_and_regularizers():
    factory = block(
        lambda features, ndim: nn.BatchNorm2d(features) if ndim == 2 else nn.LayerNorm(features),
        [lambda features, ndim: nn.Dropout(0.1), lambda features, ndim: None, lambda f, n: nn.Dropout(0.2)],
    )
    modules = dict(factory(6, 2).named_children())
    assert list(modules) == ["normalization", "activation", "regularizer0", "regularizer2"]
    assert modules["normalization"].num_features == 6
    assert modules["regularizer2"].p == 0.2
    assert isinstance(factory(5).normalization, nn.LayerNorm)


def test_absent_modules_take_no_place():
    assert list(dict(block()(4).named_children())) == ["activation"]


@pytest.mark.parametrize("bias", [True, False])
def test_block_has_bias_and_input_width_for_the_layer_before(bias):
    factory = block(bias=bias)
    assert factory.bias is bias
    assert factory.inputs(12) == 12


def test_activation_may_need_a_wider_layer_before_it():
    seen = []

    def halve(features):
        seen.append(features)
        return nn.AdaptiveAvgPool1d(features // 2)

    factory = Block(
        halve, lambda features, ndim: nn.BatchNorm1d(features), [lambda f, n: nn.LayerNorm(f)], True, factor=2
    )
    assert factory.inputs(6) == 12
    modules = factory(6)
    assert seen == [12]
    assert modules.normalization.num_features == 12
    assert modules.regularizer0.normalized_shape == (6,)
    assert modules(torch.ones(3, 12)).shape == (3, 6)


def test_branch_ends_with_the_modules_of_regularizers():
    factory = block(branches=[lambda index, depth: nn.Dropout(index / depth), lambda index, depth: None])
    assert [type(m) for m in factory.branch(1, 4)] == [nn.Dropout]
    assert factory.branch(1, 4)[0].p == 0.25
    x = torch.ones(2, 3)
    assert block().branch(0, 1)(x) is x


def test_each_block_has_its_own_modules():
    factory = block(lambda features, ndim: nn.LayerNorm(features))
    assert factory(4).normalization is not factory(4).normalization


def test_elementwise_function_is_a_module_with_its_settings():
    module = Elementwise(nn.functional.leaky_relu, {"negative_slope": 0.5}, "leaky_relu")
    x = torch.tensor([[-2.0, 0.0, 3.0]])
    assert module(x).tolist() == [[-1.0, 0.0, 3.0]]
    assert repr(module) == "Elementwise(leaky_relu, negative_slope=0.5)"
    assert torch.equal(pickle.loads(pickle.dumps(module))(x), module(x))
    assert list(module.parameters()) == []
