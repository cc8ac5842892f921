"""Initializers: fill a layer's weight in place, with `generator` alone as the source of chance."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Generator, Tensor

import harness
from harness.space import Log

Fan = Literal["in", "out"]


def _fan(fan: Fan, fan_in: int, fan_out: int) -> int:
    return fan_in if fan == "in" else fan_out


@harness.initializer(reference="He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, eq. 10")
def he_normal(weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, fan: Fan = "in") -> None:
    """Normal with the variance that keeps signals (fan in) or gradients (fan out) through a rectifier.

    W ~ N(0, gain² / fan), gain² = 2 for relu.
    """
    weight.normal_(0, gain / math.sqrt(_fan(fan, fan_in, fan_out)), generator=generator)


@harness.initializer(reference="He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852")
def he_uniform(
    weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, fan: Fan = "in"
) -> None:
    """Uniform with the variance of `he_normal`.

    W ~ U(-a, a), a = gain · sqrt(3 / fan).
    """
    bound = gain * math.sqrt(3 / _fan(fan, fan_in, fan_out))
    weight.uniform_(-bound, bound, generator=generator)


@harness.initializer(
    reference="Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 12"
)
def xavier_normal(weight: Tensor, fan_in: int, fan_out: int, generator: Generator) -> None:
    """Normal with the variance that balances signals and gradients through a linear unit.

    W ~ N(0, 2 / (fan_in + fan_out)).
    """
    weight.normal_(0, math.sqrt(2 / (fan_in + fan_out)), generator=generator)


@harness.initializer(
    reference="Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 16"
)
def xavier_uniform(weight: Tensor, fan_in: int, fan_out: int, generator: Generator) -> None:
    """Uniform with the variance of `xavier_normal`.

    W ~ U(-a, a), a = sqrt(6 / (fan_in + fan_out)).
    """
    bound = math.sqrt(6 / (fan_in + fan_out))
    weight.uniform_(-bound, bound, generator=generator)


@harness.initializer
def normal(
    weight: Tensor,
    generator: Generator,
    *,
    mean: float = 0.0,
    std: Annotated[float, Log(1e-4, 10), Ge(0)] = 0.01,
) -> None:
    """Normal with a fixed deviation, whatever the layer's size.

    W ~ N(mean, std²).
    """
    weight.normal_(mean, std, generator=generator)


@harness.initializer
def zeros(weight: Tensor) -> None:
    """All weights zero: the units of a layer stay alike, and with most activations nothing is learned.

    W = 0.
    """
    torch.nn.init.zeros_(weight)
