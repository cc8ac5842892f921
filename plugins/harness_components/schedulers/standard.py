"""Schedulers: the learning rate over the steps. A top-level `warmup` goes before any of them.

t counts the steps from 0, and T is how many there are: where a formula says what is left at the end, t = T.
"""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt, Interval
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LambdaLR, LRScheduler, StepLR

import harness
from harness.space import Integers, Log, Uniform


@harness.scheduler
def constant(optimizer: Optimizer) -> None:
    """The same learning rate at every step."""


@harness.scheduler(reference="Loshchilov, Hutter, SGDR, ICLR 2017, arXiv:1608.03983, eq. 5 without restarts")
def cosine(
    optimizer: Optimizer,
    total_steps: int,
    *,
    final: Annotated[float, Interval(ge=0, le=1), "share of the learning rate that is left at the end"] = 0.0,
) -> LRScheduler:
    """Half a period of a cosine, from the learning rate down to a share `final` of it.

    lr(t) = lr · (final + (1 - final) (1 + cos(π t / T)) / 2).
    """
    return CosineAnnealingLR(optimizer, T_max=total_steps, eta_min=final * optimizer.param_groups[0]["lr"])


@harness.scheduler(reference="He et al., Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385")
def step(
    optimizer: Optimizer,
    total_steps: int,
    *,
    every: Annotated[float, Uniform(0.1, 0.5), Interval(gt=0, le=1), "share of the steps between two drops"] = 0.33,
    factor: Annotated[float, Log(0.05, 0.9), Interval(gt=0, le=1), "what a drop leaves of the learning rate"] = 0.1,
) -> LRScheduler:
    """Drops the learning rate at equal distances.

    lr(t) = lr · factor^⌊t / n⌋, n = every · T, rounded and at least 1.
    """
    return StepLR(optimizer, step_size=max(1, round(every * total_steps)), gamma=factor)


@harness.scheduler(reference="Li, Arora, An exponential learning rate schedule for deep learning, ICLR 2020")
def exponential(
    optimizer: Optimizer,
    total_steps: int,
    *,
    final: Annotated[
        float, Log(1e-4, 0.5), Interval(gt=0, le=1), "share of the learning rate that is left at the end"
    ] = 0.01,
) -> LRScheduler:
    """Multiplies the learning rate by the same number at every step.

    lr(t) = lr · final^(t / T).
    """
    return ExponentialLR(optimizer, gamma=final ** (1 / total_steps))


@harness.scheduler(reference="Smith, Topin, Super-convergence, 2018, arXiv:1708.07120, with cosines as in fastai")
def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    *,
    rise: Annotated[float, Uniform(0.1, 0.5), Interval(gt=0, lt=1), "share of the steps in which it rises"] = 0.3,
    start: Annotated[float, Log(1e-3, 1.0), Interval(gt=0, le=1), "share of the learning rate at the start"] = 0.04,
    final: Annotated[float, Interval(ge=0, le=1), "share of the learning rate that is left at the end"] = 1e-4,
) -> LRScheduler:
    """Rises from a share `start` to the learning rate, and falls to a share `final` of it, each along half a cosine.

    lr(t) = lr · (start + (1 - start) c(t / (rise T))) up to t = rise T, then lr · (1 - (1 - final) c((t - rise T) /
    (T - rise T))), c(s) = (1 - cos(π s)) / 2. The momentum, which the paper lets fall and rise, stays as it is.
    """
    top = rise * total_steps

    def share(t: int) -> float:
        if t < top:
            return start + (1 - start) * _half_cosine(t / top)
        return 1 - (1 - final) * _half_cosine(min(1.0, (t - top) / (total_steps - top)))

    return LambdaLR(optimizer, share)


@harness.scheduler(reference="Loshchilov, Hutter, SGDR, ICLR 2017, arXiv:1608.03983, eq. 5")
def cosine_restarts(
    optimizer: Optimizer,
    total_steps: int,
    *,
    cycles: Annotated[int, Integers(1, 8), Ge(1), "how often it falls"] = 4,
    stretch: Annotated[float, Uniform(1.0, 2.0), Gt(0), "length of a cycle over that of the one before"] = 1.0,
    final: Annotated[float, Interval(ge=0, le=1), "share of the learning rate at a cycle's end"] = 0.0,
) -> LRScheduler:
    """Falls along half a cosine, and begins anew at the learning rate, `cycles` times; the last cycle ends the run.

    lr(t) = lr · (final + (1 - final) (1 + cos(π s)) / 2), s the share of its cycle that t has gone through; cycle i has
    a length in proportion to stretch^i, and their sum is T.
    """
    lengths = [stretch**i for i in range(cycles)]
    ends = [total_steps * sum(lengths[: i + 1]) / sum(lengths) for i in range(cycles)]

    def share(t: int) -> float:
        # a cycle that ends at a whole number of steps but for rounding has ended there
        cycle = next((i for i, end in enumerate(ends[:-1]) if t < end - 1e-9 * total_steps), cycles - 1)
        begin = ends[cycle - 1] if cycle else 0.0
        gone = min(1.0, max(0.0, (t - begin) / (ends[cycle] - begin)))
        return 1 - (1 - final) * _half_cosine(gone)

    return LambdaLR(optimizer, share)


def _half_cosine(s: float) -> float:
    """From 0 at s = 0 to 1 at s = 1."""
    return (1 - math.cos(math.pi * s)) / 2
