"""Schedulers: the learning rate as a function of the step. A top-level `warmup` runs before any of them.

In the formulas t counts the steps from 0 and T is their number; a value at the end is that at t = T.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, LRScheduler, StepLR

import harness
from harness.space import Integers, Log, Uniform


@harness.scheduler
def constant(optimizer: Optimizer) -> None:
    """Constant learning rate.

    lr(t) = lr
    """


@harness.scheduler(reference="Loshchilov, Hutter, SGDR, ICLR 2017, arXiv:1608.03983, eq. 5 without restarts")
def cosine(
    optimizer: Optimizer,
    total_steps: int,
    *,
    final: Annotated[float, Interval(ge=0, le=1), "factor of the learning rate at the end"] = 0.0,
) -> LRScheduler:
    """Cosine annealing from the learning rate to `final` times it.

        lr(t) = lr · (final + (1 - final) (1 + cos(π t / T)) / 2)

    The factors of the learning rate at t = 0 .. 4 of T = 4:

    >>> factors(cosine)
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final * optimizer.param_groups[0]["lr"])


@harness.scheduler(reference="He et al., Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385")
def step(
    optimizer: Optimizer,
    total_steps: int,
    *,
    every: Annotated[float, Uniform(0.1, 0.5), Interval(gt=0, le=1), "share of the steps between two drops"] = 0.33,
    factor: Annotated[float, Log(0.05, 0.9), Interval(gt=0, le=1), "factor of a drop"] = 0.1,
) -> LRScheduler:
    """Step decay: lower the learning rate by a factor at equal distances.

        lr(t) = lr · factor^⌊t / n⌋,  n = max(1, round(every · T))

    The factors of the learning rate at t = 0 .. 4 of T = 4:

    >>> factors(step, every=0.5, factor=0.1)
    [1.0, 1.0, 0.1, 0.1, 0.01]
    """
    return StepLR(optimizer, step_size=max(1, round(every * total_steps)), gamma=factor)


@harness.scheduler(reference="Li, Arora, An exponential learning rate schedule for deep learning, ICLR 2020")
def exponential(
    optimizer: Optimizer,
    total_steps: int,
    *,
    final: Annotated[float, Log(1e-4, 0.5), Interval(gt=0, le=1), "factor of the learning rate at the end"] = 0.01,
) -> LRScheduler:
    """Exponential decay: multiply the learning rate by the same factor at every step.

        lr(t) = lr · final^(t / T)

    The factors of the learning rate at t = 0 .. 4 of T = 4:

    >>> factors(exponential, final=0.01)
    [1.0, 0.316, 0.1, 0.032, 0.01]
    """
    return ExponentialLR(optimizer, gamma=final ** (1 / total_steps))


@harness.scheduler(reference="Smith, Topin, Super-convergence, 2018, arXiv:1708.07120, with cosines as in fastai")
def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    *,
    rise: Annotated[float, Uniform(0.1, 0.5), Interval(gt=0, lt=1), "share of the steps before the maximum"] = 0.3,
    start: Annotated[float, Log(1e-3, 1.0), Interval(gt=0, le=1), "factor of the learning rate at the start"] = 0.04,
    final: Annotated[float, Interval(ge=0, le=1), "factor of the learning rate at the end"] = 1e-4,
) -> LRScheduler:
    """One cycle: a rise from `start` times the learning rate to the learning rate, then a fall to `final` times it.

    With c(s) = (1 - cos(π s)) / 2 and the maximum at step r = rise · T:

        lr(t) = lr · (start + (1 - start) c(t / r)), up to t = r
        lr(t) = lr · (1 - (1 - final) c((t - r) / (T - r))), after it

    The momentum, which the paper lowers and raises, is constant. Contains a warmup: set `warmup=0`.

    The factors of the learning rate at t = 0 .. 4 of T = 4:

    >>> factors(one_cycle, rise=0.5)
    [0.04, 0.52, 1.0, 0.5, 0.0]
    """
    top = rise * total_steps

    def factor(t: int) -> float:
        if t < top:
            return start + (1 - start) * _half_cosine(t / top)
        return 1 - (1 - final) * _half_cosine(min(1.0, (t - top) / (total_steps - top)))

    return LambdaLR(optimizer, factor)


@harness.scheduler(reference="Loshchilov, Hutter, SGDR, ICLR 2017, arXiv:1608.03983, eq. 5")
def cosine_restarts(
    optimizer: Optimizer,
    total_steps: int,
    *,
    cycles: Annotated[int, Integers(1, 8), Ge(1), "number of cycles"] = 4,
    stretch: Annotated[float, Uniform(1.0, 2.0), Gt(0), "length of a cycle relative to the one before"] = 1.0,
    final: Annotated[float, Interval(ge=0, le=1), "factor of the learning rate at the end of a cycle"] = 0.0,
) -> LRScheduler:
    """Cosine annealing with warm restarts: `cycles` falls from the learning rate, the last of which ends the run.

    With s in [0, 1] the position of t in its cycle:

        lr(t) = lr · (final + (1 - final) (1 + cos(π s)) / 2)

    Cycle i has a length proportional to stretch^i; together they take T steps.

    The factors of the learning rate at t = 0 .. 4 of T = 4:

    >>> factors(cosine_restarts, cycles=2)
    [1.0, 0.5, 1.0, 0.5, 0.0]
    """
    lengths = [stretch**i for i in range(cycles)]
    ends = [total_steps * sum(lengths[: i + 1]) / sum(lengths) for i in range(cycles)]

    def factor(t: int) -> float:
        # the tolerance ends a cycle on a whole step despite rounding
        cycle = next((i for i, end in enumerate(ends[:-1]) if t < end - 1e-9 * total_steps), cycles - 1)
        begin = ends[cycle - 1] if cycle else 0.0
        position = min(1.0, max(0.0, (t - begin) / (ends[cycle] - begin)))
        return 1 - (1 - final) * _half_cosine(position)

    return LambdaLR(optimizer, factor)


def _half_cosine(s: float) -> float:
    """From 0 at s = 0 to 1 at s = 1."""
    return (1 - math.cos(math.pi * s)) / 2


def factors(scheduler: Callable[..., LRScheduler | None], *, total_steps: int = 4, **settings: Any) -> list[float]:
    """Return the learning rate at each step for a base of 1, rounded to 3 digits: for the examples."""
    optimizer = SGD([torch.zeros(1)], lr=1.0)
    built = scheduler(optimizer, total_steps, **settings)
    assert built is not None
    factors = []
    for _ in range(total_steps + 1):
        factors.append(round(optimizer.param_groups[0]["lr"], 3))
        optimizer.step()
        built.step()
    return factors
