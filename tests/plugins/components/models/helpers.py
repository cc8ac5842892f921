"""How these tests make a model, and what they look at."""

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
    """Every other channel."""

    def forward(self, x):
        return x[:, ::2]


class WideBlock(Block):
    """Wants layers twice as wide as what it makes of them, and keeps what it was called with in `seen`."""

    def __init__(self):
        super().__init__(lambda features: nn.Tanh(), lambda features, ndim: None, [], True)
        self.seen = []

    def inputs(self, width):
        return 2 * width

    def __call__(self, features, ndim=0):
        self.seen.append((features, ndim))
        return nn.Sequential(Halve(), nn.Tanh())


class Scaled(nn.Module):
    """What a regularizer might put at the end of a branch."""

    def __init__(self, index, depth):
        super().__init__()
        self.place = (index, depth)

    def forward(self, x):
        return x * 0


def places(module):
    """(index, depth) of each branch, in the order of the model."""
    return [m.place for m in module.modules() if isinstance(m, Scaled)]
