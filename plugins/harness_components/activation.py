"""Activations: element-wise functions. The gain is what keeps the variance of a deep net's signals (He et al. 2015)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

import harness
from harness.space import Uniform


def _leaky_gain(negative_slope: float) -> float:
    return math.sqrt(2 / (1 + negative_slope**2))


@harness.activation(
    reference="Nair, Hinton, Rectified linear units improve restricted Boltzmann machines, ICML 2010",
    gain=math.sqrt(2),
)
def relu(x: Tensor) -> Tensor:
    """Rectified linear unit.

    f(x) = max(0, x). Zero for half of its inputs, with slope 1 elsewhere; the slope at 0 is taken as 0.
    """
    return torch.relu(x)


@harness.activation(reference="Rumelhart, Hinton, Williams, Learning representations by back-propagating errors, 1986")
def sigmoid(x: Tensor) -> Tensor:
    """Logistic function.

    f(x) = 1 / (1 + exp(-x)), in (0, 1). Its slope f(x) (1 - f(x)) is at most 1/4, so that gradients shrink with depth.
    """
    return torch.sigmoid(x)


@harness.activation(reference="LeCun, Bottou, Orr, Müller, Efficient backprop, 1998", gain=5 / 3)
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent.

    f(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x)), in (-1, 1), centred on zero; its slope is at most 1.
    """
    return torch.tanh(x)


@harness.activation(
    reference="Maas, Hannun, Ng, Rectifier nonlinearities improve neural network acoustic models, ICML 2013",
    gain=_leaky_gain,
)
def leaky_relu(
    x: Tensor, *, negative_slope: Annotated[float, Uniform(0.001, 0.3), Interval(ge=0, lt=1)] = 0.01
) -> Tensor:
    """Rectified linear unit with a small slope below zero, so that no unit dies.

    f(x) = x for x > 0, and negative_slope · x elsewhere.
    """
    return torch.nn.functional.leaky_relu(x, negative_slope)
