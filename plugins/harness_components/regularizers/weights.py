"""Regularizers that act on the weights after each optimizer step: shrinking, projecting and averaging them."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

import harness
from harness import Regularizer, Tensors
from harness.space import Log, Uniform


def _weights(params: Tensors) -> dict[str, Tensor]:
    """Matrices and kernels: biases and the scales of normalizations are left out."""
    return {name: p for name, p in params.items() if p.ndim > 1}


class SoftThreshold(Regularizer):
    """The proximal step of the l1 norm."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Moves each weight by lr · strength towards zero, and no further."""
        threshold = lr * self.strength
        for p in _weights(params).values():
            p.copy_(p.sign() * (p.abs() - threshold).clamp_min(0))


@harness.regularizer(
    reference="Daubechies, Defrise, De Mol, An iterative thresholding algorithm for linear inverse problems, 2004"
)
def l1_proximal(*, strength: Annotated[float, Log(1e-5, 1.0), Ge(0)] = 1e-3) -> Regularizer:
    """Penalty on the absolute values of the weights, by its proximal step: weights become exactly zero.

    w ← sign(w) · max(|w| - lr · strength, 0) after each step (not of biases). After a step of sgd this is iterative
    soft thresholding, which minimises L + strength · Σ |w|; after that of an optimizer which scales each gradient, the
    threshold is not scaled with it.
    """
    return SoftThreshold(strength)


class DecoupledDecay(Regularizer):
    """Shrinks the weights beside the optimizer's step."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Takes away a share of the weights as they were before the step."""
        share = lr * self.strength
        for name, p in _weights(params).items():
            p.sub_(share * previous[name])


@harness.regularizer(reference="Loshchilov, Hutter, Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101")
def weight_decay(*, strength: Annotated[float, Log(1e-5, 1.0), Ge(0)] = 1e-2) -> Regularizer:
    """Decoupled decay of the weights (not of biases): the gradient does not see it.

    w_t = step(w_{t-1}) - lr · strength · w_{t-1}. With adam this is adamw.
    """
    return DecoupledDecay(strength)


class MaxNorm(Regularizer):
    """Projects the weights into each unit onto a ball."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Scales the rows that are longer than the limit."""
        for p in _weights(params).values():
            norm = p.square().flatten(1).sum(1).sqrt()
            scale = (self.limit / norm.clamp_min(torch.finfo(p.dtype).tiny)).clamp_max(1)
            p.mul_(scale.reshape(-1, *[1] * (p.ndim - 1)))


@harness.regularizer(reference="Srivastava et al., Dropout, JMLR 2014, section 5.1")
def max_norm(
    *, limit: Annotated[float, Log(0.1, 10.0), Gt(0), "greatest norm of the weights into a unit"] = 3.0
) -> Regularizer:
    """Limits the norm of the weights into each unit, by projection after each step.

    w_i ← w_i · min(1, limit / ‖w_i‖), w_i being row i of a matrix, or the kernel of output channel i.
    """
    return MaxNorm(limit)


class _Average(Regularizer):
    """Keeps a mean of the weights, {name: tensor}, and evaluates it in their place."""

    def init(self, params: Tensors) -> Any:
        # at least float32: in a short float, a mean that moves by a small share would stand still
        mean = {n: p.detach().to(torch.promote_types(p.dtype, torch.float32), copy=True) for n, p in params.items()}
        first = next(iter(mean.values()), torch.zeros(()))
        return {"mean": mean, "seen": torch.zeros((), dtype=first.dtype, device=first.device)}

    def evaluate(self, params: Tensors, state: Any) -> Tensors:
        """The mean, in the type of the weights."""
        return {name: state["mean"][name].to(p.dtype) for name, p in params.items()}


class ExponentialAverage(_Average):
    """Weights of step i count as decay^(t - i)."""

    def __init__(self, decay: float) -> None:
        # the complement too: 1 - decay in float32 would keep few digits of it
        self.decay, self.fresh = decay, 1 - decay

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Moves the mean; `seen` is the sum of all steps' weights, 1 - decay^t."""
        seen = state["seen"]
        seen.copy_(seen * self.decay + self.fresh)
        share = self.fresh / seen
        for name, p in params.items():
            mean = state["mean"][name]
            mean.add_((p - mean) * share.to(mean.dtype))


class RunningAverage(_Average):
    """The mean of the weights of all steps after the first `begin`."""

    def __init__(self, begin: float) -> None:
        self.begin = begin  # a whole number, as a float: members of one stack may differ in it

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Moves the mean; until one has begun, it is the weights themselves. `seen` counts the steps."""
        seen = state["seen"]
        seen.add_(1)
        number = seen - self.begin
        for name, p in params.items():
            mean = state["mean"][name]
            moved = mean + (p - mean) / number.clamp_min(1).to(mean.dtype)
            mean.copy_(torch.where(number <= 1, p.to(mean.dtype), moved))


@harness.regularizer(reference="Izmailov et al., Averaging weights leads to wider optima, UAI 2018, arXiv:1803.05407")
def weight_averaging(
    total_steps: int,
    *,
    mode: Annotated[Literal["ema", "swa"], "an exponential moving mean, or that of the last steps"] = "ema",
    decay: Annotated[float, Uniform(0.9, 0.9999), Interval(ge=0, lt=1), "of ema: what a step keeps"] = 0.99,
    start: Annotated[float, Uniform(0.3, 0.95), Interval(ge=0, lt=1), "of swa: the share of the steps before it"] = 0.5,
) -> Regularizer:
    """Evaluates, and ends with, a mean of the weights over the steps; training goes on with the weights themselves.

    ema: w̄_t = Σ_i decay^(t - i) w_i / Σ_i decay^(t - i) over the steps i = 1 .. t, without a bias to the first.
    swa: w̄_t = mean of w_i over the steps start · T < i <= t of T; before these, w̄_t = w_t. The paper combines it with a
    constant or cyclic learning rate; a mean over a rate that goes to zero changes little.

    Only parameters are averaged. Running statistics, as those of batch_norm, stay those that the training weights
    saw: the paper collects them anew by a pass over the training data, and here they are a little off for the mean.
    """
    return ExponentialAverage(decay) if mode == "ema" else RunningAverage(float(math.floor(start * total_steps)))
