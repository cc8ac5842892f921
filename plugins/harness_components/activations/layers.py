"""Activations that look at several units, change the width or learn something: modules for so many `features`."""

from __future__ import annotations

import math
from typing import Annotated

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
def prelu(features: int, *, init: Annotated[float, Uniform(0, 0.5), "of each channel's slope"] = 0.25) -> nn.Module:
    """Rectified linear unit whose slope below zero is learned, one a channel.

    f(x) = x for x > 0, and a_c x elsewhere; the slopes a_c are parameters, [features].
    """
    return nn.PReLU(features, init)


@harness.activation(reference="Bridle, Probabilistic interpretation of feedforward classification networks, 1990")
def softmax(axis: int) -> nn.Module:
    """The exponentials of a layer's units as shares of their sum: units compete, and a layer's output sums to 1.

    f(x)_c = exp(x_c) / Σ_k exp(x_k), over the channels.
    """
    return nn.Softmax(axis)


class Swiglu(nn.Module):
    """One half of the channels gates the other."""

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, 2 C, ...] -> [N, C, ...]."""
        gate, value = x.chunk(2, self.axis)
        return F.silu(gate) * value


@harness.activation(reference="Shazeer, GLU variants improve transformer, 2020, arXiv:2002.05202", width_factor=2)
def swiglu(features: int, axis: int) -> nn.Module:
    """Gated linear unit with a SiLU gate; the layer before it is twice as wide.

    f(a, b) = a / (1 + exp(-a)) · b, where a and b are the halves of the channels.
    """
    return Swiglu(axis)


class Maxout(nn.Module):
    """The largest of `pieces` channels each."""

    def __init__(self, pieces: int, axis: int) -> None:
        super().__init__()
        self.pieces, self.axis = pieces, axis

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C · pieces, ...] -> [N, C, ...]."""
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
    pieces: Annotated[int, Integers(2, 5), Ge(2), "linear pieces of a unit"] = 2,
) -> nn.Module:
    """The largest of several linear functions, all learned; the layer before it is `pieces` times as wide.

    f(x)_c = max_k x_{c, k}, k = 1 .. pieces: a convex function of the layer's input.
    """
    if features % pieces:
        raise HarnessError(f"maxout wants channels in groups of activation.pieces={pieces}, got {features}")
    return Maxout(pieces, axis)
