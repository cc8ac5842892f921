"""A schedule that follows what was measured."""

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
    factor: Annotated[float, Uniform(0.1, 0.9), Interval(gt=0, lt=1), "what the learning rate is multiplied by"] = 0.1,
    patience: Annotated[int, Integers(0, 20), Ge(0), "epochs without improvement that are waited for"] = 5,
    threshold: Annotated[float, Ge(0), "share of the best loss by which a better one must be lower"] = 1e-4,
) -> Any:
    """Lowers the learning rate where the validation loss has stopped to fall.

    lr ← factor · lr after more than `patience` epochs in a row without val/loss < (1 - threshold) · best.
    """
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=factor, patience=patience, threshold=threshold)
