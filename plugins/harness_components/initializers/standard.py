"""Initializers: fill a layer's weight in place, with `generator` alone as the source of chance.

Biases are zero, but for those that an initializer asks for.
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

Fan = Annotated[Literal["in", "out"], Choice("in", "out")]
Scale = Annotated[float | None, Ge(0), "factor of the weights; null: the activation's gain"]


def _fan(fan: Fan, fan_in: int, fan_out: int) -> int:
    return fan_in if fan == "in" else fan_out


def _scale(scale: float | None, gain: float) -> float:
    return gain if scale is None else scale


# The deviations that they claim, which `harness check` measures.


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
    """Normal with the variance that keeps signals (fan in) or gradients (fan out) through a rectifier.

    W ~ N(0, gain² / fan), gain² = 2 for relu.
    """
    weight.normal_(0, gain / math.sqrt(_fan(fan, fan_in, fan_out)), generator=generator)


@harness.initializer(
    reference="He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852", std=_he_std
)
def he_uniform(
    weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, fan: Fan = "in"
) -> None:
    """Uniform with the variance of `he_normal`.

    W ~ U(-a, a), a = gain · sqrt(3 / fan).
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
    """Normal with the variance that balances signals and gradients through a linear unit.

    W ~ N(0, scale² · 2 / (fan_in + fan_out)).
    """
    weight.normal_(0, _scale(scale, gain) * math.sqrt(2 / (fan_in + fan_out)), generator=generator)


@harness.initializer(
    reference="Glorot, Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010, eq. 16",
    std=_xavier_std,
)
def xavier_uniform(
    weight: Tensor, fan_in: int, fan_out: int, gain: float, generator: Generator, *, scale: Scale = 1.0
) -> None:
    """Uniform with the variance of `xavier_normal`.

    W ~ U(-a, a), a = scale · sqrt(6 / (fan_in + fan_out)).
    """
    bound = _scale(scale, gain) * math.sqrt(6 / (fan_in + fan_out))
    weight.uniform_(-bound, bound, generator=generator)


LECUN = "LeCun, Bottou, Orr, Müller, Efficient backprop, 1998, eq. 16"


@harness.initializer(reference=LECUN, std=_lecun_std)
def lecun_normal(weight: Tensor, fan_in: int, generator: Generator) -> None:
    """Normal with the variance that keeps signals through a linear unit, or selu.

    W ~ N(0, 1 / fan_in).
    """
    weight.normal_(0, 1 / math.sqrt(fan_in), generator=generator)


@harness.initializer(reference=LECUN, std=_lecun_std)
def lecun_uniform(weight: Tensor, fan_in: int, generator: Generator) -> None:
    """Uniform with the variance of `lecun_normal`.

    W ~ U(-a, a), a = sqrt(3 / fan_in).
    """
    bound = math.sqrt(3 / fan_in)
    weight.uniform_(-bound, bound, generator=generator)


@harness.initializer(
    reference="PyTorch 2.8, 2025, torch.nn.Linear and torch.nn.Conv2d, reset_parameters", std=_torch_std
)
def torch_default(weight: Tensor, bias: Tensor | None, generator: Generator) -> None:
    """What torch.nn.Linear and torch.nn.Conv1d .. 3d start from, biases too.

    W, b ~ U(-a, a), a = 1 / sqrt(n), n = the numbers of a row of W: fan in, and for a transposed convolution, as torch
    has it, fan out. A third of the variance that keeps signals through a linear unit. (Torch's recurrent layers take
    their hidden width for n; here they are matrices like any other.)
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
    """Orthogonal, drawn evenly: signals and gradients keep their length through a square linear layer.

    W Wᵀ = scale² I or Wᵀ W = scale² I, whichever is smaller, with kernels as matrices [out, in · field]: the Q of a
    normal matrix's QR.
    """
    init.orthogonal_(weight, _scale(scale, gain), generator=generator)


@harness.initializer(reference="Le, Jaitly, Hinton, A simple way to initialize recurrent networks of rectified linear "
                     "units, 2015, arXiv:1504.00941; for kernels: Zagoruyko, Komodakis, DiracNets, 2017, "
                     "arXiv:1706.00388")  # fmt: skip
def identity(
    weight: Tensor,
    generator: Generator,
    *,
    noise: Annotated[float, Log(1e-4, 1), Ge(0), "standard deviation of what is added"] = 0.0,
) -> None:
    """The identity: a layer hands on its inputs, as many as it has outputs, and noise makes its units differ.

    W = I + noise · N(0, 1), with I[i, j] = 1 for i = j, else 0; of a kernel, at its centre.
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
    """Xavier's for sigmoid units: a gain of 4 makes up for their slope, and the bias for outputs about 1/2.

    W ~ N(0, 16 · 2 / (fan_in + fan_out)), b = -Σⱼ Wⱼ / 2. Inputs that are 1/2 give exactly 0, where the slope is
    largest; and small deviations from it keep their size through any number of layers, forward and back.
    """
    weight.normal_(0, 4 * math.sqrt(2 / (fan_in + fan_out)), generator=generator)
    if bias is not None:
        # the inputs' axis: of a transposed convolution, which has as many biases as columns, the first
        inputs = [axis for axis in range(weight.ndim) if axis != _outputs(weight, fan_in)]
        bias.copy_(-weight.sum(inputs) / 2)


def _outputs(weight: Tensor, fan_in: int) -> int:
    """The axis of the outputs: 0, but 1 for a transposed convolution (one of equal fans is taken for a plain one)."""
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
    value: Annotated[float, Uniform(-5, 5), "of every bias"] = 0.1,
) -> None:
    """The weights of `he_normal`, and biases that stand off zero: below it, rectifiers begin dead.

    W ~ N(0, gain² / fan_in), b = value.
    """
    weight.normal_(0, gain / math.sqrt(fan_in), generator=generator)
    if bias is not None:
        bias.fill_(value)


@harness.initializer(mean="mean", std="std")
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


@harness.initializer(mean="mean", std=_uniform_std)
def uniform(
    weight: Tensor,
    generator: Generator,
    *,
    mean: float = 0.0,
    bound: Annotated[float, Log(1e-4, 10), Ge(0), "half of the width"] = 0.05,
) -> None:
    """Uniform with a fixed width, whatever the layer's size.

    W ~ U(mean - bound, mean + bound).
    """
    weight.uniform_(mean - bound, mean + bound, generator=generator)


@harness.initializer(mean="mean", std=_truncated_std)
def truncated_normal(
    weight: Tensor,
    generator: Generator,
    *,
    mean: float = 0.0,
    std: Annotated[float, Log(1e-4, 10), Gt(0), "before truncation; 0.88 of it after"] = 0.02,
) -> None:
    """Normal without its tails: no weight is further than two deviations from the mean.

    W ~ N(mean, std²), given |W - mean| <= 2 std.
    """
    init.trunc_normal_(weight, mean, std, mean - 2 * std, mean + 2 * std, generator=generator)


@harness.initializer(mean="value", std=0.0)
def constant(weight: Tensor, *, value: Annotated[float, Uniform(-1, 1)] = 0.1) -> None:
    """All weights alike: the units of a layer compute the same, and learn the same, for ever.

    W = value.
    """
    weight.fill_(value)


@harness.initializer(std=0.0)
def zeros(weight: Tensor) -> None:
    """All weights zero: the units of a layer stay alike, and with most activations nothing is learned.

    W = 0.
    """
    init.zeros_(weight)
