"""The networks that `model=mlp` and `model=cnn` are by default, initialised as `initializer=he_normal` does."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

CHANNELS, KERNEL = (16, 32), 3


def network(model: str, inputs: Sequence[int], classes: int, width: int, depth: int) -> nn.Sequential:
    """A network for samples of this shape."""
    layers = cnn(inputs, classes) if model == "cnn" else mlp(math.prod(inputs), classes, width, depth)
    for layer in layers:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return layers


def mlp(inputs: int, classes: int, width: int, depth: int) -> nn.Sequential:
    """`depth` hidden layers of `width` units."""
    layers: list[nn.Module] = [nn.Flatten()]
    for index in range(depth):
        layers += [nn.Linear(width if index else inputs, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width if depth else inputs, classes))


def cnn(inputs: Sequence[int], classes: int) -> nn.Sequential:
    """Stages of convolution, rectifier and pooling, then a linear layer."""
    at, height, width = inputs
    layers: list[nn.Module] = []
    for out in CHANNELS:
        layers += [nn.Conv2d(at, out, KERNEL, padding=KERNEL // 2), nn.ReLU()]
        if min(height, width) > 3:
            layers.append(nn.MaxPool2d(2))
            height, width = height // 2, width // 2
        at = out
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(at * height * width, classes))
