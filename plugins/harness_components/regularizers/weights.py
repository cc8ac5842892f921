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
    """Return the matrices and kernels: no biases, no scales of normalizations."""
    return {name: p for name, p in params.items() if p.ndim > 1}


class SoftThreshold(Regularizer):
    """The proximal step of the L1 norm."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Move each weight by lr · strength towards zero, at most to zero."""
        threshold = lr * self.strength
        for p in _weights(params).values():
            p.copy_(p.sign() * (p.abs() - threshold).clamp_min(0))


@harness.regularizer(
    reference="Daubechies, Defrise, De Mol, An iterative thresholding algorithm for linear inverse problems, 2004"
)
def l1_proximal(*, strength: Annotated[float, Log(1e-5, 1.0), Ge(0), "factor α of the penalty"] = 1e-3) -> Regularizer:
    """L1 penalty on the weights by its proximal step: weights become exactly zero.

    After each step of the optimizer, with α = `strength`, not on biases:

        w ← sign(w) · max(|w| - lr · α, 0)

    With sgd this is iterative soft thresholding, which minimizes L + α Σ |w|. Adaptive optimizers scale the gradient
    but not this threshold.

    >>> params = {"weight": torch.tensor([[-0.5, 0.05]])}
    >>> l1_proximal(strength=1.0).after_step(params, {}, lr=0.1, state=None)
    >>> params["weight"]
    tensor([[-0.4000,  0.0000]])
    """
    return SoftThreshold(strength)


class DecoupledDecay(Regularizer):
    """Weight decay outside of the gradient."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Subtract lr · strength times the weights before the step."""
        share = lr * self.strength
        for name, p in _weights(params).items():
            p.sub_(share * previous[name])


@harness.regularizer(reference="Loshchilov, Hutter, Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101")
def weight_decay(*, strength: Annotated[float, Log(1e-5, 1.0), Ge(0), "decay λ"] = 1e-2) -> Regularizer:
    """Decoupled weight decay, not on biases.

    With λ = `strength`:

        w_t = step(w_{t-1}) - lr · λ w_{t-1}

    With optimizer=adam this is AdamW. Leave the optimizer's own `weight_decay` at 0.

    >>> params, previous = {"weight": torch.tensor([[0.9]])}, {"weight": torch.tensor([[1.0]])}
    >>> weight_decay(strength=0.5).after_step(params, previous, lr=0.1, state=None)
    >>> params["weight"]  # 0.9 - 0.1 · 0.5 · 1.0
    tensor([[0.8500]])
    """
    return DecoupledDecay(strength)


class MaxNorm(Regularizer):
    """Project the weights of each unit onto a ball."""

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Scale down the rows that are longer than the limit."""
        for p in _weights(params).values():
            norm = p.square().flatten(1).sum(1).sqrt()
            scale = (self.limit / norm.clamp_min(torch.finfo(p.dtype).tiny)).clamp_max(1)
            p.mul_(scale.reshape(-1, *[1] * (p.ndim - 1)))


@harness.regularizer(reference="Srivastava et al., Dropout, JMLR 2014, section 5.1")
def max_norm(
    *, limit: Annotated[float, Log(0.1, 10.0), Gt(0), "largest norm of a unit's weights"] = 3.0
) -> Regularizer:
    """Max-norm constraint on the incoming weights of each unit, by projection after each step.

    With w_i the row i of a matrix, or the kernel of output channel i:

        w_i ← w_i · min(1, limit / ‖w_i‖)

    >>> params = {"weight": torch.tensor([[3.0, 4.0], [0.6, 0.8]])}
    >>> max_norm(limit=2.0).after_step(params, {}, lr=0.1, state=None)
    >>> params["weight"]
    tensor([[1.2000, 1.6000],
            [0.6000, 0.8000]])
    """
    return MaxNorm(limit)


class _Average(Regularizer):
    """Base class of averages: keep a mean of the weights, {name: tensor}, and evaluate it."""

    def init(self, params: Tensors) -> Any:
        # at least float32: small updates of a mean in float16 would be rounded away
        mean = {n: p.detach().to(torch.promote_types(p.dtype, torch.float32), copy=True) for n, p in params.items()}
        first = next(iter(mean.values()), torch.zeros(()))
        return {"mean": mean, "seen": torch.zeros((), dtype=first.dtype, device=first.device)}

    def evaluate(self, params: Tensors, state: Any) -> Tensors:
        """Return the mean in the dtype of the weights."""
        return {name: state["mean"][name].to(p.dtype) for name, p in params.items()}


class ExponentialAverage(_Average):
    """Exponential moving average: step i has weight decay^(t - i) at step t."""

    def __init__(self, decay: float) -> None:
        # 1 - decay in double precision: in float32 few of its digits would be left
        self.decay, self.complement = decay, 1 - decay

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Update the mean; `seen` is the sum of all weights, 1 - decay^t."""
        seen = state["seen"]
        seen.copy_(seen * self.decay + self.complement)
        share = self.complement / seen
        for name, p in params.items():
            mean = state["mean"][name]
            mean.add_((p - mean) * share.to(mean.dtype))


class RunningAverage(_Average):
    """Mean of the weights of all steps after the first `begin`."""

    def __init__(self, begin: float) -> None:
        self.begin = begin  # a whole number as a float: runs of one stack may differ in it

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        """Update the mean; before step `begin` it equals the weights. `seen` counts the steps."""
        seen = state["seen"]
        seen.add_(1)
        number = seen - self.begin
        for name, p in params.items():
            mean = state["mean"][name]
            updated = mean + (p - mean) / number.clamp_min(1).to(mean.dtype)
            mean.copy_(torch.where(number <= 1, p.to(mean.dtype), updated))


@harness.regularizer(reference="Izmailov et al., Averaging weights leads to wider optima, UAI 2018, arXiv:1803.05407")
def weight_averaging(
    total_steps: int,
    *,
    mode: Annotated[Literal["ema", "swa"], "exponential moving average, or the mean of the last steps"] = "ema",
    decay: Annotated[float, Uniform(0.9, 0.9999), Interval(ge=0, lt=1), "ema: decay rate of the average"] = 0.99,
    start: Annotated[float, Uniform(0.3, 0.95), Interval(ge=0, lt=1), "swa: share of the steps before the mean"] = 0.5,
) -> Regularizer:
    """Weight averaging: evaluate and keep a mean of the weights over the steps; training uses the weights themselves.

    At step t of T:

        ema: w̄_t = Σ_i decay^(t - i) w_i / Σ_i decay^(t - i), over i = 1 .. t
        swa: w̄_t = mean of w_i over start · T < i <= t; w̄_t = w_t before

    The ema is corrected for its start. Combine swa with a constant or cyclic learning rate, as in the paper: a mean
    under a learning rate that goes to zero changes little.

    Only parameters are averaged. The running statistics of batch_norm stay those of the training weights, a little off
    for the mean; the paper collects them anew.

    >>> params = {"weight": torch.tensor([[1.0]])}
    >>> average = weight_averaging(total_steps=4, mode="swa", start=0.0)
    >>> state = average.init(params)
    >>> for value in (1.0, 3.0):
    ...     average.after_step({"weight": torch.tensor([[value]])}, params, lr=0.1, state=state)
    >>> average.evaluate(params, state)
    {'weight': tensor([[2.]])}
    """
    return ExponentialAverage(decay) if mode == "ema" else RunningAverage(float(math.floor(start * total_steps)))
