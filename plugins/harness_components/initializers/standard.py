"""Initializers that fill a layer's weight in place, drawing from `generator` alone.

Biases are zero, except for those that an initializer asks for. In the formulas fan is fan_in, the number of inputs of
a unit, or fan_out, the number of outputs of an input; gain is the trait of the chosen activation.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor
from torch.nn import init

import harness
from harness.space import Choice, Log, Uniform

Fan = Annotated[Literal["in", "out"], Choice("in", "out"), "fan that sets the variance: of inputs or of outputs"]
Scale = Annotated[float | None, Ge(0), "factor of the weights; null: the activation's gain"]


def _fan(fan: Fan, fan_in: int, fan_out: int) -> int:
    return fan_in if fan == "in" else fan_out


def _scale(scale: float | None, gain: float) -> float:
    return gain if scale is None else scale


# The standard deviations of the traits `std`, which `harness check` verifies


def _he_std(fan: Fan, fan_in: int, fan_out: int, gain: float) -> float:
    return gain * _fan(fan, fan_in, fan_out) ** -0.5


def _xavier_std(scale: float | None, fan_in: int, fan_out: int, gain: float) -> float:
    return _scale(scale, gain) * ((fan_in + fan_out) / 2) ** -0.5


def _lecun_std(fan_in: int) -> float:
    return fan_in**-0.5


def _torch_std(fan_in: int) -> float:
    return (3 * fan_in) ** -0.5


def _sigmoid_std(fan_in: int, fan_out: int) -> float:
    return 4 * ((fan_in + fan_out) / 2) ** -0.5


def _shift_std(fan_in: int, gain: float) -> float:
    return gain * fan_in**-0.5


def _uniform_std(bound: float) -> float:
    return bound / math.sqrt(3)


def _truncated_std(std: float) -> float:
    return 0.87962566 * std  # of a standard normal within two deviations: sqrt(1 - 4 φ(2) / (2 Φ(2) - 1))


@harness.initializer(
    reference="He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, eq. 10", std=_he_std
)
def he_normal(weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, fan: Fan = "in") -> None:
    """He initialization, normal: keeps the variance of signals (fan=in) or gradients (fan=out) through rectifiers.

        W ~ N(0, gain² / fan),  gain² = 2 for relu

    >>> weight = torch.empty(200, 100)
    >>> he_normal(weight, 100, 200, 2**0.5, torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 2)  # sqrt(2 / 100)
    0.14
    """
    weight.normal_(0, gain / math.sqrt(_fan(fan, fan_in, fan_out)), generator=generator)


@harness.initializer(
    reference="He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852", std=_he_std
)
def he_uniform(
    weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, fan: Fan = "in"
) -> None:
    """He initialization, uniform: the variance of `he_normal`.

        W ~ U(-a, a),  a = gain · sqrt(3 / fan)

    >>> weight = torch.empty(200, 100)
    >>> he_uniform(weight, 100, 200, 2**0.5, torch.Generator().manual_seed(0))
    >>> round(float(weight.abs().max()), 2)  # sqrt(6 / 100)
    0.24
    """
    bound = gain * math.sqrt(3 / _fan(fan, fan_in, fan_out))
    weight.uniform_(-bound, bound, generator=generator)


@harness.initializer(
    reference="Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 12",
    std=_xavier_std,
)
def xavier_normal(
    weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, scale: Scale = 1.0
) -> None:
    """Xavier (Glorot) initialization, normal: balances signals and gradients through linear units.

        W ~ N(0, scale² · 2 / (fan_in + fan_out))

    For tanh and sigmoid; use `he_normal` for rectifiers.

    >>> weight = torch.empty(200, 100)
    >>> xavier_normal(weight, 100, 200, 1.0, torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 2)  # sqrt(2 / 300)
    0.08
    """
    weight.normal_(0, _scale(scale, gain) * math.sqrt(2 / (fan_in + fan_out)), generator=generator)


@harness.initializer(
    reference="Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 16",
    std=_xavier_std,
)
def xavier_uniform(
    weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, scale: Scale = 1.0
) -> None:
    """Xavier (Glorot) initialization, uniform: the variance of `xavier_normal`.

        W ~ U(-a, a),  a = scale · sqrt(6 / (fan_in + fan_out))

    >>> weight = torch.empty(200, 100)
    >>> xavier_uniform(weight, 100, 200, 1.0, torch.Generator().manual_seed(0))
    >>> round(float(weight.abs().max()), 2)  # sqrt(6 / 300)
    0.14
    """
    bound = _scale(scale, gain) * math.sqrt(6 / (fan_in + fan_out))
    weight.uniform_(-bound, bound, generator=generator)


LECUN = "LeCun, Bottou, Orr, Müller, Efficient backprop, 1998, eq. 16"


@harness.initializer(reference=LECUN, std=_lecun_std)
def lecun_normal(weight: Tensor, fan_in: int, generator: Generator) -> None:
    """LeCun initialization, normal: keeps the variance of signals through linear units and selu.

        W ~ N(0, 1 / fan_in)

    >>> weight = torch.empty(200, 100)
    >>> lecun_normal(weight, 100, torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 2)  # sqrt(1 / 100)
    0.1
    """
    weight.normal_(0, 1 / math.sqrt(fan_in), generator=generator)


@harness.initializer(reference=LECUN, std=_lecun_std)
def lecun_uniform(weight: Tensor, fan_in: int, generator: Generator) -> None:
    """LeCun initialization, uniform: the variance of `lecun_normal`.

        W ~ U(-a, a),  a = sqrt(3 / fan_in)

    >>> weight = torch.empty(200, 100)
    >>> lecun_uniform(weight, 100, torch.Generator().manual_seed(0))
    >>> round(float(weight.abs().max()), 2)  # sqrt(3 / 100)
    0.17
    """
    bound = math.sqrt(3 / fan_in)
    weight.uniform_(-bound, bound, generator=generator)


@harness.initializer(
    reference="PyTorch 2.8, 2025, torch.nn.Linear and torch.nn.Conv2d, reset_parameters", std=_torch_std
)
def torch_default(weight: Tensor, bias: Tensor | None, generator: Generator) -> None:
    """The default of torch.nn.Linear and torch.nn.Conv1d to Conv3d, for weights and biases.

        W, b ~ U(-a, a),  a = 1 / sqrt(n)

    n is the size of a row of W: fan_in, or fan_out in a transposed convolution, as in torch. The variance is a third of
    the one that keeps signals through linear units. Torch's recurrent layers use their hidden width for n; here they
    are matrices like any other.

    >>> weight, bias = torch.empty(200, 100), torch.empty(200)
    >>> torch_default(weight, bias, torch.Generator().manual_seed(0))
    >>> round(float(weight.abs().max()), 2), bool((bias.abs() <= 0.1).all())  # 1 / sqrt(100)
    (0.1, True)
    """
    bound = 1 / math.sqrt(weight[0].numel())
    weight.uniform_(-bound, bound, generator=generator)
    if bias is not None:
        bias.uniform_(-bound, bound, generator=generator)


@harness.initializer(
    reference="Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural "
    "networks, ICLR 2014, arXiv:1312.6120"
)
def orthogonal(weight: Tensor, gain: float, generator: Generator, *, scale: Scale = None) -> None:
    """Orthogonal initialization: signals and gradients keep their length through square linear layers.

        W Wᵀ = scale² I or Wᵀ W = scale² I, whichever is smaller

    W is the Q of the QR decomposition of a normal matrix; kernels are matrices [out, in · field].

    >>> weight = torch.empty(2, 3)
    >>> orthogonal(weight, 1.0, torch.Generator().manual_seed(0))
    >>> (weight @ weight.T).round(decimals=4).abs()
    tensor([[1., 0.],
            [0., 1.]])
    """
    init.orthogonal_(weight, _scale(scale, gain), generator=generator)


@harness.initializer(reference="Le, Jaitly, Hinton, A simple way to initialize recurrent networks of rectified linear "
                     "units, 2015, arXiv:1504.00941; for kernels: Zagoruyko, Komodakis, DiracNets, 2017, "
                     "arXiv:1706.00388")  # fmt: skip
def identity(
    weight: Tensor,
    generator: Generator,
    *,
    noise: Annotated[float, Log(1e-4, 1), Ge(0), "standard deviation of the added noise"] = 0.0,
) -> None:
    """Identity matrix plus noise: a layer passes its inputs on, as many as it has outputs.

        W = I + noise · N(0, 1),  I[i, j] = 1 for i = j, else 0

    In a kernel the ones are at its centre. Without noise, units beyond the number of inputs start at zero.

    >>> weight = torch.empty(3, 2)
    >>> identity(weight, torch.Generator())
    >>> weight
    tensor([[1., 0.],
            [0., 1.],
            [0., 0.]])
    """
    if weight.ndim == 2:
        init.eye_(weight)
    else:
        init.dirac_(weight)
    if noise:
        weight.add_(torch.empty_like(weight).normal_(generator=generator), alpha=noise)


@harness.initializer(
    reference="Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, "
    "with the slope of the sigmoid, 1 / 4, taken into account",
    std=_sigmoid_std,
)
def centred_sigmoid(weight: Tensor, bias: Tensor | None, fan_in: int, fan_out: int, generator: Generator) -> None:
    """Xavier initialization for sigmoid units: corrects for their slope 1 / 4 at zero and their mean output 1 / 2.

        W ~ N(0, 16 · 2 / (fan_in + fan_out)),  b = -Σⱼ Wⱼ / 2

    Inputs of 1 / 2 give a pre-activation of exactly 0, where the slope is largest; small deviations from it keep their
    size through any number of layers, forward and backward.

    >>> weight, bias = torch.empty(200, 100), torch.empty(200)
    >>> centred_sigmoid(weight, bias, 100, 200, torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 2)  # 4 · sqrt(2 / 300)
    0.33
    >>> bool((weight @ torch.full((100,), 0.5) + bias).abs().max() < 1e-4)
    True
    """
    weight.normal_(0, 4 * math.sqrt(2 / (fan_in + fan_out)), generator=generator)
    if bias is not None:
        # sum over all axes but the outputs': in a transposed convolution the inputs are the first axis
        inputs = [axis for axis in range(weight.ndim) if axis != _output_axis(weight, fan_in)]
        bias.copy_(-weight.sum(inputs) / 2)


def _output_axis(weight: Tensor, fan_in: int) -> int:
    """Return the axis of the outputs: 0, or 1 in a transposed convolution (equal fans are taken for a plain one)."""
    return 0 if weight[0].numel() == fan_in else 1


@harness.initializer(
    reference="He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, eq. 10", std=_shift_std
)
def bias_shift(
    weight: Tensor,
    bias: Tensor | None,
    fan_in: int,
    gain: float,
    generator: Generator,
    *,
    value: Annotated[float, Uniform(-5, 5), "the biases"] = 0.1,
) -> None:
    """The weights of `he_normal` with constant biases: below zero, rectifiers start dead.

        W ~ N(0, gain² / fan_in),  b = value

    >>> weight, bias = torch.empty(4, 100), torch.empty(4)
    >>> bias_shift(weight, bias, 100, 2**0.5, torch.Generator().manual_seed(0), value=-1.0)
    >>> bias
    tensor([-1., -1., -1., -1.])
    """
    weight.normal_(0, gain / math.sqrt(fan_in), generator=generator)
    if bias is not None:
        bias.fill_(value)


@harness.initializer(mean="mean", std="std")
def normal(
    weight: Tensor,
    generator: Generator,
    *,
    mean: Annotated[float, "mean of the weights"] = 0.0,
    std: Annotated[float, Log(1e-4, 10), Ge(0), "standard deviation"] = 0.01,
) -> None:
    """Normal distribution with a fixed standard deviation, whatever the layer's size.

        W ~ N(mean, std²)

    The scale of the signals depends on the width then: prefer `he_normal` or `xavier_normal` in deep networks.

    >>> weight = torch.empty(200, 100)
    >>> normal(weight, torch.Generator().manual_seed(0), std=0.5)
    >>> round(float(weight.std()), 1)
    0.5
    """
    weight.normal_(mean, std, generator=generator)


@harness.initializer(mean="mean", std=_uniform_std)
def uniform(
    weight: Tensor,
    generator: Generator,
    *,
    mean: Annotated[float, "mean of the weights"] = 0.0,
    bound: Annotated[float, Log(1e-4, 10), Ge(0), "half of the interval's width"] = 0.05,
) -> None:
    """Uniform distribution with a fixed width, whatever the layer's size.

        W ~ U(mean - bound, mean + bound)

    >>> weight = torch.empty(200, 100)
    >>> uniform(weight, torch.Generator().manual_seed(0), bound=0.5)
    >>> round(float(weight.abs().max()), 2)
    0.5
    """
    weight.uniform_(mean - bound, mean + bound, generator=generator)


@harness.initializer(mean="mean", std=_truncated_std)
def truncated_normal(
    weight: Tensor,
    generator: Generator,
    *,
    mean: Annotated[float, "mean of the weights"] = 0.0,
    std: Annotated[float, Log(1e-4, 10), Gt(0), "before truncation; 0.88 of it after"] = 0.02,
) -> None:
    """Normal distribution truncated at two standard deviations.

        W ~ N(mean, std²), given |W - mean| <= 2 std

    >>> weight = torch.empty(200, 100)
    >>> truncated_normal(weight, torch.Generator().manual_seed(0), std=0.5)
    >>> round(float(weight.std()), 2), round(float(weight.abs().max()), 2)  # 0.88 std, 2 std
    (0.44, 1.0)
    """
    init.trunc_normal_(weight, mean, std, mean - 2 * std, mean + 2 * std, generator=generator)


@harness.initializer(mean="value", std=0.0)
def constant(weight: Tensor, *, value: Annotated[float, Uniform(-1, 1), "the weights"] = 0.1) -> None:
    """All weights equal: the units of a layer compute and learn the same thing forever.

        W = value

    For demonstrations: nothing breaks the symmetry between units.

    >>> weight = torch.empty(2, 2)
    >>> constant(weight, value=0.5)
    >>> weight
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    weight.fill_(value)


@harness.initializer(std=0.0)
def zeros(weight: Tensor) -> None:
    """All weights zero: the units of a layer stay equal, and with most activations nothing is learned.

        W = 0

    For demonstrations: nothing breaks the symmetry between units.

    >>> weight = torch.empty(2, 2)
    >>> zeros(weight)
    >>> weight
    tensor([[0., 0.],
            [0., 0.]])
    """
    init.zeros_(weight)
