"""Schedulers: the learning rate over the steps. A top-level `warmup` goes before any of them."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

import harness


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
