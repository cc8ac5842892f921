"""Helpers that make a model, and blocks that record their use."""

from torch import nn

from harness.modeling.block import Block
from tests.plugins.components.helpers import make


def block(normalization=lambda features, ndim: None, layers=(), bias=True, branches=(), activation=nn.Tanh):
    return Block(lambda features: activation(), normalization, list(layers), bias, branches=list(branches))


def model(name, inputs, outputs=3, settings=None, made=None, generator=None):
    offers = {"inputs": inputs, "outputs": outputs, "block": made or block(), "generator": generator}
    return make("model", name, settings, **offers)


def parameters(module):
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def count(module):
    return sum(p.numel() for p in module.parameters())


class Halve(nn.Module):
    """Keep every other channel."""

    def forward(self, x):
        return x[:, ::2]


class WideBlock(Block):
    """A block that needs layers twice as wide as its output, and records its calls in `seen`."""

    def __init__(self):
        super().__init__(lambda features: nn.Tanh(), lambda features, ndim: None, [], True)
        self.seen = []

    def inputs(self, width):
        return 2 * width

    def __call__(self, features, ndim=0):
        self.seen.append((features, ndim))
        return nn.Sequential(Halve(), nn.Tanh())


class Scaled(nn.Module):
    """A module that a regularizer puts at the end of a branch."""

    def __init__(self, index, depth):
        super().__init__()
        self.place = (index, depth)

    def forward(self, x):
        return x * 0


def places(module):
    """Return (index, depth) of each branch, in model order."""
    return [m.place for m in module.modules() if isinstance(m, Scaled)]
