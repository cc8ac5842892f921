"""Activations that combine units, change the width or have parameters: modules for a given number of `features`."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

import harness
from harness import HarnessError
from harness.space import Integers, Uniform


def _prelu_gain(init: float) -> float:
    return math.sqrt(2 / (1 + init**2))


@harness.activation(
    reference="He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, eq. 1", gain=_prelu_gain
)
def prelu(features: int, *, init: Annotated[float, Uniform(0, 0.5), "initial slope a"] = 0.25) -> nn.Module:
    """Parametric rectified linear unit: the slope below zero is learned for each channel.

        f(x) = x for x > 0, else a_c x

    The slopes a_c, shape `[features]`, are parameters and start at `init`.

    >>> import torch
    >>> prelu(2, init=0.1)(torch.tensor([[-1.0, 2.0]])).detach()
    tensor([[-0.1000,  2.0000]])
    """
    return nn.PReLU(features, init)


class NaiveSoftmax(nn.Module):
    """Softmax as its formula is written."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, ...] to the same shape."""
        powers = x.exp()
        return powers / powers.sum(self.axis, keepdim=True)


@harness.activation(reference="Bridle, Probabilistic interpretation of feedforward classification networks, 1990")
def softmax(
    axis: int,
    *,
    form: Annotated[
        Literal["stable", "naive"], "stable, or as the formula is written, which overflows for x > 88 in float32"
    ] = "stable",
) -> nn.Module:
    """Softmax over the channels: the units of a layer compete, and its output sums to 1.

        f(x)_c = exp(x_c) / Σ_k exp(x_k)

    The stable form subtracts the largest x first, which changes nothing in exact arithmetic. An activation of hidden
    layers; losses such as `cross_entropy` apply their own softmax to the logits.

    >>> import torch
    >>> softmax(axis=1)(torch.tensor([[-1.0, 0.0, 2.0]]))
    tensor([[0.0420, 0.1142, 0.8438]])
    >>> softmax(axis=1, form="naive")(torch.tensor([[100.0, 0.0]]))
    tensor([[nan, 0.]])
    """
    return nn.Softmax(axis) if form == "stable" else NaiveSoftmax(axis)


class Swiglu(nn.Module):
    """One half of the channels gates the other."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, 2 C, ...] to [N, C, ...]."""
        gate, value = x.chunk(2, self.axis)
        return F.silu(gate) * value


@harness.activation(reference="Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202", width_factor=2)
def swiglu(features: int, axis: int) -> nn.Module:
    """Gated linear unit with a SiLU gate; the layer before it is twice as wide.

        f(a, b) = a / (1 + exp(-a)) · b

    with a, b the first and second half of the channels.

    >>> import torch
    >>> swiglu(features=2, axis=1)(torch.tensor([[2.0, 3.0]]))
    tensor([[5.2848]])
    """
    return Swiglu(axis)


class Maxout(nn.Module):
    """Maximum over groups of `pieces` channels."""

    def __init__(self, pieces: int, axis: int) -> None:
        super().__init__()
        self.pieces, self.axis = pieces, axis

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C · pieces, ...] to [N, C, ...]."""
        return x.unflatten(self.axis, (-1, self.pieces)).amax(self.axis + 1)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


@harness.activation(
    reference="Goodfellow, Warde-Farley, Mirza, Courville, Bengio, Maxout networks, ICML 2013, arXiv:1302.4389",
    width_factor="pieces",
)
def maxout(
    features: int,
    axis: int,
    *,
    pieces: Annotated[int, Integers(2, 5), Ge(2), "linear functions in each unit"] = 2,
) -> nn.Module:
    """Maxout: the maximum of several learned linear functions; the layer before it is `pieces` times as wide.

        f(x)_c = max_k x_{c, k},  k = 1 .. pieces

    A unit is a convex, piecewise linear function of the layer's input.

    >>> import torch
    >>> maxout(features=4, axis=1, pieces=2)(torch.tensor([[1.0, 3.0, -1.0, -2.0]]))
    tensor([[ 3., -1.]])
    """
    if features % pieces:
        raise HarnessError(
            f"activation maxout takes channels in groups of activation.pieces={pieces}, and this layer has {features}: "
            "choose a width that it divides"
        )
    return Maxout(pieces, axis)
