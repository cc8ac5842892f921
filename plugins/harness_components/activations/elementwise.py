"""Element-wise activations, with the gains that initializers scale weights by.

The gain keeps the mean square of the signals in a deep network (He et al. 2015):

    gain = 1 / sqrt(E f(z)²),  z ~ N(0, 1)

With weights of variance gain² / fan_in a layer's pre-activations keep a mean square of 1. The gain is 1 for
activations that are not meant to carry signals on, and LeCun's 5 / 3 for tanh, as in torch.
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

GELU_GAIN = 1 / math.sqrt(1 / 3 + 1 / (2 * math.pi * math.sqrt(3)))  # of the exact form: E z² Φ(z)², by parts


def _gain(function: Callable[[Tensor], Tensor]) -> float:
    """Return 1 / sqrt(E f(z)²) by the trapezoidal rule, which is exact to rounding for smooth f."""
    z = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return float(torch.trapezoid(function(z).square() * density, z)) ** -0.5


def _normal_cdf(z: float) -> float:
    """Return Φ(z), the cumulative distribution function of a standard normal."""
    return math.erfc(-z / math.sqrt(2)) / 2


def _leaky_gain(negative_slope: float) -> float:
    return math.sqrt(2 / (1 + negative_slope**2))


def _elu_gain(alpha: float) -> float:
    # E (exp(z) - 1)² over z < 0, with exp(k z) φ(z) = exp(k² / 2) φ(z - k)
    negative = math.exp(2) * _normal_cdf(-2) - 2 * math.exp(0.5) * _normal_cdf(-1) + 0.5
    return (0.5 + alpha**2 * negative) ** -0.5


def _gelu_gain(form: str) -> float:
    return GELU_GAIN if form == "exact" else _gain(lambda z: gelu(z, form="tanh"))


def _silu_gain(beta: float) -> float:
    return _gain(lambda z: silu(z, beta=beta))


def _mish_gain() -> float:
    return _gain(mish)


def _softplus_gain(beta: float) -> float:
    return _gain(lambda z: softplus(z, beta=beta))


@harness.activation
def identity(x: Tensor) -> Tensor:
    """Identity: layers without another activation between them are one linear map.

        f(x) = x

    >>> identity(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.,  0.,  2.])
    """
    return x


@harness.activation(gain=1.0, skips={"gradient": "the graph is cut by design"})
def detached(x: Tensor) -> Tensor:
    """Identity that is cut off from the graph: no gradient reaches the layers before it, which stay as they were.

        f(x) = x, and ∂f/∂x is not there

    The mistake of a forgotten `detach()`, to see how it shows: diagnostic=[unreached,unmoved]. Only the layers after
    the last one learn, from random features.

    >>> detached(torch.tensor([2.0], requires_grad=True)).requires_grad
    False
    """
    return x.detach()


@harness.activation(
    reference="McCulloch, Pitts, A logical calculus of the ideas immanent in nervous activity, 1943", gain=math.sqrt(2)
)
def step(x: Tensor) -> Tensor:
    """Heaviside step function, which passes no gradient: only the layers after the last step learn.

        f(x) = 1 for x > 0, else 0

    The derivative is 0 everywhere. For demonstrations, and for layers whose weights are set and not learned.

    >>> step(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 1.])
    """
    return torch.ceil(torch.clamp(x, 0, 1))  # differentiable, with gradient zero; a comparison would turn nan into 0


@harness.activation(
    reference="Nair, Hinton, Rectified linear units improve restricted Boltzmann machines, ICML 2010",
    gain=math.sqrt(2),
)
def relu(x: Tensor) -> Tensor:
    """Rectified linear unit.

        f(x) = max(0, x)

    The derivative is 1 for x > 0 and else 0, at 0 too: a unit that is negative for every sample stops learning.

    >>> relu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0., 0., 2.])
    """
    return torch.relu(x)


@harness.activation(reference="Rumelhart, Hinton, Williams, Learning representations by back-propagating errors, 1986")
def sigmoid(
    x: Tensor,
    *,
    slope: Annotated[float, Log(0.25, 16), Gt(0), "slope at 0, times 4; large values approach the step function"] = 1.0,
) -> Tensor:
    """Logistic sigmoid.

        f(x) = 1 / (1 + exp(-slope · x)), in (0, 1)

    The derivative slope · f(x) (1 - f(x)) is at most slope / 4, so that gradients shrink with depth: prefer `tanh` or
    `relu` in deep networks.

    >>> sigmoid(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0.2689, 0.5000, 0.8808])
    """
    return torch.sigmoid(slope * x)


@harness.activation(reference="LeCun, Bottou, Orr, Müller, Efficient backprop, 1998", gain=5 / 3)
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent.

        f(x) = (exp(x) - exp(-x)) / (exp(x) + exp(-x)), in (-1, 1)

    Centred on zero; the derivative 1 - f(x)² is at most 1 and vanishes for large |x|.

    >>> tanh(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.7616,  0.0000,  0.9640])
    """
    return torch.tanh(x)


@harness.activation(
    reference="Maas, Hannun, Ng, Rectifier nonlinearities improve neural network acoustic models, ICML 2013",
    gain=_leaky_gain,
)
def leaky_relu(
    x: Tensor, *, negative_slope: Annotated[float, Uniform(0.001, 0.3), Interval(ge=0, lt=1), "slope below 0"] = 0.01
) -> Tensor:
    """Leaky rectified linear unit: a small slope below zero keeps units from dying.

        f(x) = x for x > 0, else negative_slope · x

    >>> leaky_relu(torch.tensor([-1.0, 0.0, 2.0]), negative_slope=0.1)
    tensor([-0.1000,  0.0000,  2.0000])
    """
    return functional.leaky_relu(x, negative_slope)


@harness.activation(
    reference="Clevert, Unterthiner, Hochreiter, Fast and accurate deep network learning by exponential linear units, "
    "ICLR 2016, arXiv:1511.07289",
    gain=_elu_gain,
)
def elu(x: Tensor, *, alpha: Annotated[float, Uniform(0.1, 2), Gt(0), "minus the limit at -∞"] = 1.0) -> Tensor:
    """Exponential linear unit: saturates at -alpha below zero, which brings mean activations nearer to zero than relu.

        f(x) = x for x > 0, else alpha · (exp(x) - 1)

    >>> elu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.6321,  0.0000,  2.0000])
    """
    return torch.where(x > 0, x, alpha * functional.elu(x))


@harness.activation(
    reference="Klambauer, Unterthiner, Mayr, Hochreiter, Self-normalizing neural networks, NeurIPS 2017, "
    "arXiv:1706.02515",
    gain=1.0,
)
def selu(x: Tensor) -> Tensor:
    """Scaled exponential linear unit: self-normalizing, its gain is 1.

        f(x) = λ x for x > 0, else λ α (exp(x) - 1),  λ = 1.0507..., α = 1.6732...

    Maps a standard normal input to mean 0 and variance 1. Use it with initializer=lecun_normal and without
    normalization.

    >>> selu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-1.1113,  0.0000,  2.1014])
    """
    return functional.selu(x)


@harness.activation(
    reference="Hendrycks, Gimpel, Gaussian error linear units (GELUs), 2016, arXiv:1606.08415", gain=_gelu_gain
)
def gelu(
    x: Tensor,
    *,
    form: Annotated[Literal["exact", "tanh"], Choice("exact", "tanh"), "exact, or the tanh approximation"] = "exact",
) -> Tensor:
    """Gaussian error linear unit.

    With Φ the cumulative distribution function of a standard normal:

        f(x) = x Φ(x)
        form=tanh: f(x) = x (1 + tanh(sqrt(2 / π) (x + 0.044715 x³))) / 2

    The tanh form differs by less than 0.001 and is cheaper on some devices.

    >>> gelu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.1587,  0.0000,  1.9545])
    """
    return functional.gelu(x, approximate="none" if form == "exact" else "tanh")


@harness.activation(
    reference="Elfwing, Uchibe, Doya, Sigmoid-weighted linear units, 2017, arXiv:1702.03118; with beta: Ramachandran, "
    "Zoph, Le, Searching for activation functions, 2017, arXiv:1710.05941 (Swish)",
    gain=_silu_gain,
)
def silu(
    x: Tensor, *, beta: Annotated[float, Log(0.1, 10), Gt(0), "small values approach x / 2, large ones relu"] = 1.0
) -> Tensor:
    """Sigmoid-weighted linear unit, also called Swish.

        f(x) = x / (1 + exp(-beta · x))

    >>> silu(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.2689,  0.0000,  1.7616])
    """
    return x * torch.sigmoid(beta * x)


@harness.activation(
    reference="Misra, Mish: a self regularized non-monotonic activation function, BMVC 2020, arXiv:1908.08681",
    gain=_mish_gain,
)
def mish(x: Tensor) -> Tensor:
    """Mish: smooth and not monotonic, close to silu.

        f(x) = x tanh(log(1 + exp(x)))

    >>> mish(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([-0.3034,  0.0000,  1.9440])
    """
    return functional.mish(x)


@harness.activation(
    reference="Dugas et al., Incorporating second-order functional knowledge for better option pricing, NIPS 2000",
    gain=_softplus_gain,
)
def softplus(
    x: Tensor, *, beta: Annotated[float, Log(0.25, 16), Gt(0), "sharpness; large values approach relu"] = 1.0
) -> Tensor:
    """Softplus: a smooth rectifier, positive everywhere.

        f(x) = log(1 + exp(beta · x)) / beta

    The derivative is the logistic sigmoid of beta · x.

    >>> softplus(torch.tensor([-1.0, 0.0, 2.0]))
    tensor([0.3133, 0.6931, 2.1269])
    """
    return functional.softplus(beta * x) / beta
