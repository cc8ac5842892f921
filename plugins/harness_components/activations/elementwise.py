"""Activations: element-wise functions. The gain is what keeps the mean square of a deep net's signals (He et al. 2015):

gain = 1 / sqrt(E f(z)²), z ~ N(0, 1), so that weights of variance gain² / fan_in carry a mean square of 1 on. It is 1
where f is used for another end than to carry signals on, and for tanh LeCun's 5 / 3, which torch takes too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from annotated_types import Gt, Interval
from torch import Tensor
from torch.nn import functional

import harness
from harness.space import Choice, Log, Uniform

GELU = 1 / math.sqrt(1 / 3 + 1 / (2 * math.pi * math.sqrt(3)))  # of the exact form: E z² Φ(z)², by parts


def _keeping(function: Callable[[Tensor], Tensor]) -> float:
    """1 / sqrt(E f(z)²) by the trapezoidal rule, whose error falls exponentially for smooth functions of a normal."""
    z = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return float(torch.trapezoid(function(z).square() * density, z)) ** -0.5


def _below(z: float) -> float:
    """Φ(z), the share of a standard normal below z."""
    return math.erfc(-z / math.sqrt(2)) / 2


def _leaky_gain(negative_slope: float) -> float:
    return math.sqrt(2 / (1 + negative_slope**2))


def _elu_gain(alpha: float) -> float:
    # E (exp(z) - 1)² over z < 0, with exp(k z) φ(z) = exp(k² / 2) φ(z - k)
    negative = math.exp(2) * _below(-2) - 2 * math.exp(0.5) * _below(-1) + 0.5
    return (0.5 + alpha**2 * negative) ** -0.5


def _gelu_gain(form: str) -> float:
    return GELU if form == "exact" else _keeping(lambda z: gelu(z, form="tanh"))


def _silu_gain(beta: float) -> float:
    return _keeping(lambda z: silu(z, beta=beta))


def _mish_gain() -> float:
    return _keeping(mish)


def _softplus_gain(beta: float) -> float:
    return _keeping(lambda z: softplus(z, beta=beta))


@harness.activation
def identity(x: Tensor) -> Tensor:
    """The input itself: layers without another activation between them are one linear map.

    f(x) = x.
    """
    return x


@harness.activation(
    reference="McCulloch, Pitts, A logical calculus of the ideas immanent in nervous activity, 1943", gain=math.sqrt(2)
)
def step(x: Tensor) -> Tensor:
    """Heaviside's step: no gradient passes it, so that only what stands after the last step learns.

    f(x) = 1 for x > 0, else 0; its slope is taken as 0 everywhere.
    """
    return torch.ceil(torch.clamp(x, 0, 1))  # has a gradient, zero; and keeps nan, which a comparison would hide


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
def sigmoid(
    x: Tensor, *, slope: Annotated[float, Log(0.25, 16), Gt(0), "towards the step function as it grows"] = 1.0
) -> Tensor:
    """Logistic function.

    f(x) = 1 / (1 + exp(-slope · x)), in (0, 1). Its slope, slope · f(x) (1 - f(x)), is at most slope / 4, so that
    gradients shrink with depth.
    """
    return torch.sigmoid(slope * x)


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
    return functional.leaky_relu(x, negative_slope)


@harness.activation(
    reference="Clevert, Unterthiner, Hochreiter, Fast and accurate deep network learning by exponential linear units, "
    "ICLR 2016, arXiv:1511.07289",
    gain=_elu_gain,
)
def elu(x: Tensor, *, alpha: Annotated[float, Uniform(0.1, 2), Gt(0), "depth of the saturation"] = 1.0) -> Tensor:
    """Exponential linear unit: saturates below zero, so that the mean comes nearer to zero than a rectifier's.

    f(x) = x for x > 0, else alpha · (exp(x) - 1).
    """
    return torch.where(x > 0, x, alpha * functional.elu(x))


@harness.activation(
    reference="Klambauer, Unterthiner, Mayr, Hochreiter, Self-normalizing neural networks, NeurIPS 2017, "
    "arXiv:1706.02515",
    gain=1.0,
)
def selu(x: Tensor) -> Tensor:
    """Scaled exponential linear unit: keeps mean 0 and variance 1 of a standard normal input, which is its gain of 1.

    f(x) = λ x for x > 0, else λ α (exp(x) - 1), λ = 1.0507..., α = 1.6732...
    """
    return functional.selu(x)


@harness.activation(
    reference="Hendrycks, Gimpel, Gaussian error linear units (GELUs), 2016, arXiv:1606.08415", gain=_gelu_gain
)
def gelu(x: Tensor, *, form: Annotated[Literal["exact", "tanh"], Choice("exact", "tanh")] = "exact") -> Tensor:
    """Gaussian error linear unit: the input times the share of a standard normal below it.

    f(x) = x Φ(x);  tanh: x (1 + tanh(sqrt(2 / π) (x + 0.044715 x³))) / 2, near it and cheaper on some devices.
    """
    return functional.gelu(x, approximate="none" if form == "exact" else "tanh")


@harness.activation(
    reference="Elfwing, Uchibe, Doya, Sigmoid-weighted linear units, 2017, arXiv:1702.03118; with beta: Ramachandran, "
    "Zoph, Le, Searching for activation functions, 2017, arXiv:1710.05941 (Swish)",
    gain=_silu_gain,
)
def silu(
    x: Tensor, *, beta: Annotated[float, Log(0.1, 10), Gt(0), "towards x / 2 as it falls, relu as it grows"] = 1.0
) -> Tensor:
    """Sigmoid-weighted linear unit, or Swish.

    f(x) = x / (1 + exp(-beta · x)).
    """
    return x * torch.sigmoid(beta * x)


@harness.activation(
    reference="Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020, arXiv:1908.08681",
    gain=_mish_gain,
)
def mish(x: Tensor) -> Tensor:
    """Smooth and not monotonic, near silu.

    f(x) = x tanh(log(1 + exp(x))).
    """
    return functional.mish(x)


@harness.activation(
    reference="Dugas et al., Incorporating second-order functional knowledge for better option pricing, NIPS 2000",
    gain=_softplus_gain,
)
def softplus(x: Tensor, *, beta: Annotated[float, Log(0.25, 16), Gt(0), "towards relu as it grows"] = 1.0) -> Tensor:
    """Smooth rectifier: positive everywhere, and its slope is the logistic function.

    f(x) = log(1 + exp(beta · x)) / beta.
    """
    return functional.softplus(beta * x) / beta
