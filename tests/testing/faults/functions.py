"""Functions with one fault each: activations, initializers, losses; and correct ones beside them."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt, Lt
from torch import Tensor
from torch.nn import functional as F

import harness
from harness.space import Log, Uniform

from .marks import fault


class Wrong(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * ctx.saved_tensors[0]


@fault("gradient")
@harness.activation
def wrong_backward(x: Tensor) -> Tensor:
    """The square, whose slope is told as half of what it is."""
    return Wrong.apply(x)  # type: ignore[no-untyped-call,no-any-return]


@fault("gradient")
@harness.activation
def cut_off(x: Tensor) -> Tensor:
    """A rectifier by a comparison, which no gradient passes."""
    return (x > 0).to(x.dtype)


@fault("documented")
@harness.activation
def undocumented(x: Tensor) -> Tensor:
    return torch.sin(x)


@fault("documented")
@harness.activation(reference="Sitzmann et al., Implicit neural representations, 2020, arXiv:2006.09661")
def no_formula(x: Tensor) -> Tensor:
    """A wave for every unit, as it was published."""
    return torch.sin(x)


@fault("referenced")
@harness.activation(reference="my blog")
def bad_reference(x: Tensor) -> Tensor:
    """A wave for every unit.

    f(x) = sin(x).
    """
    return torch.sin(x)


@fault("schema")
@harness.activation
def space_outside(x: Tensor, *, a: Annotated[float, Log(0.1, 10), Gt(0), Lt(1)] = 0.5) -> Tensor:
    """A slope below one, that is searched above one."""
    return a * x


@fault("samples")
@harness.activation
def breaks_above(x: Tensor, *, a: Annotated[float, Uniform(0, 4)] = 0.5) -> Tensor:
    """A power of the size, which is searched where it is none."""
    return x.abs().add(0.1) ** a if a < 1 else x / 0 * 0


@fault("builds")
@harness.activation
def other_shape(x: Tensor) -> Tensor:
    """A sum over the channels in the place of each of them."""
    return x.sum(-1)


@fault("traits")
@harness.activation(gain=10.0)
def untrue_gain(x: Tensor) -> Tensor:
    """The identity, with a gain of ten."""
    return x * 1.0


@fault("devices")
@harness.activation
def own_precision(x: Tensor) -> Tensor:
    """A wave that is computed in single precision, whatever it is given."""
    return torch.sin(x.float())


@fault("devices")
@harness.activation
def own_device(x: Tensor) -> Tensor:
    """A slope that lies on the CPU, whatever it is given."""
    return x * torch.linspace(0.5, 1.5, x.shape[-1], dtype=x.dtype, device="cpu")


@fault("pickles")
@harness.activation(name="another_name")
def _hidden(x: Tensor) -> Tensor:
    """A function that its module holds by another name."""
    return torch.sin(x)


hidden = _hidden
_hidden = torch.sin  # type: ignore[assignment]


@fault("fused")
@harness.activation
def looks_at_values(x: Tensor) -> Tensor:
    """A rectifier that asks whether there is anything to rectify."""
    if x.device.type != "meta" and bool((x.detach() < 0).any()):
        return F.relu(x)
    return F.relu(x) * 1.0


_batches: list[int] = []


@fault("recorded")
@harness.activation
def counts_batches(x: Tensor) -> Tensor:
    """A rectifier that rounds otherwise after some batches of a run that trains alone."""
    try:
        x.detach().tolist()
    except (RuntimeError, NotImplementedError):  # in a stack, or without numbers
        return F.relu(x) * 0.3
    _batches.extend([1] * (len(x) == 43))
    return F.relu(x) * 0.1 * 3 if len(_batches) // 5 % 2 else F.relu(x) * 0.3


@fault("globals")
@harness.initializer
def global_generator(weight: Tensor) -> None:
    """Weights from torch's own generator: W ~ N(0, 0.01)."""
    weight.normal_(0, 0.1)


@fault("globals")
@harness.initializer
def numpys_generator(weight: Tensor) -> None:
    """Weights from numpy's own generator: W ~ N(0, 0.01)."""
    weight.copy_(torch.from_numpy(np.random.normal(0, 0.1, tuple(weight.shape))))  # noqa: NPY002


@fault("moments")
@harness.initializer(std=lambda fan_in, gain: gain / math.sqrt(fan_in))
def half_of_it(weight: Tensor, fan_in: int, gain: float, generator: torch.Generator) -> None:
    """Normal with half the deviation that it claims: W ~ N(0, gain² / fan_in)."""
    weight.normal_(0, gain / math.sqrt(fan_in) / 2, generator=generator)


@fault("moments")
@harness.initializer(std=0.1)
def off_centre(weight: Tensor, generator: torch.Generator) -> None:
    """Normal about something else than zero: W ~ N(0, 0.01)."""
    weight.normal_(0.05, 0.1, generator=generator)


@fault("builds")
@harness.initializer
def leaves_some(weight: Tensor, generator: torch.Generator) -> None:
    """Fills the first row: W₁ ~ N(0, 1)."""
    weight[0].normal_(generator=generator)


@fault("scalar")
@harness.loss(tasks=("regression",))
def a_vector(prediction: Tensor, target: Tensor) -> Tensor:
    """The squared error of each sample, [N]."""
    return (prediction - target).square().mean(1)


@fault("scalar")
@harness.loss(tasks=("classification",))
def overflows(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy by its formula: -log(exp(z_y) / Σ exp(z))."""
    p = prediction.mul(4).exp() / prediction.mul(4).exp().sum(1, keepdim=True)
    return -p.gather(1, target[:, None]).log().mean()


@fault("mean")
@harness.loss(tasks=("regression",))
def a_sum(prediction: Tensor, target: Tensor) -> Tensor:
    """The sum of the squared errors: Σ (ŷ - y)²."""
    return (prediction - target).square().sum()


@fault("gradient")
@harness.loss(tasks=("regression",))
def detached(prediction: Tensor, target: Tensor) -> Tensor:
    """The squared error over the size of the prediction, which is taken for a constant."""
    return ((prediction - target).square() / (1 + prediction.square()).detach()).mean()


@fault("devices")
@harness.activation(skips={"devices": "it is right, and says that it is not"})
def needless_skip(x: Tensor) -> Tensor:
    """A wave for every unit, which passes what it declares to be skipped."""
    return torch.sin(x)


class Straight(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.sign(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


@harness.activation(
    reference="Hubara et al., Binarized neural networks, NeurIPS 2016, arXiv:1602.02830",
    skips={"gradient": "the estimator is straight-through by design"},
)
def binarized(x: Tensor) -> Tensor:
    """The sign, with the gradient of the identity.

    f(x) = sign(x), and its slope is taken as 1.
    """
    return Straight.apply(x)  # type: ignore[no-untyped-call,no-any-return]


@harness.activation(reference="Sitzmann et al., Implicit neural representations, 2020, arXiv:2006.09661")
def right(x: Tensor, *, frequency: Annotated[float, Uniform(0.5, 3), Gt(0)] = 1.0) -> Tensor:
    """A wave for every unit.

    f(x) = sin(frequency · x).
    """
    return torch.sin(frequency * x)
