"""A scheduler that follows a measured metric."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Interval

import harness
from harness.space import Integers, Uniform


@harness.scheduler(watches="val/loss")
def reduce_on_plateau(
    optimizer: torch.optim.Optimizer,
    *,
    factor: Annotated[float, Uniform(0.1, 0.9), Interval(gt=0, lt=1), "factor of the learning rate"] = 0.1,
    patience: Annotated[int, Integers(0, 20), Ge(0), "epochs without improvement before it is lowered"] = 5,
    threshold: Annotated[float, Ge(0), "relative decrease of the loss that counts as an improvement"] = 1e-4,
) -> Any:
    """Lower the learning rate when the validation loss stops falling.

    After more than `patience` epochs in a row without val/loss < (1 - threshold) · best:

        lr ← factor · lr

    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = reduce_on_plateau(optimizer, factor=0.5, patience=1)
    >>> rates = []
    >>> rates = []
    >>> for loss in (0.9, 0.8, 0.8, 0.8):
    ...     scheduler.step(loss)
    ...     rates.append(optimizer.param_groups[0]["lr"])
    >>> rates
    [1.0, 1.0, 1.0, 0.5]
    """
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience, threshold=threshold)
