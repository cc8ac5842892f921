"""Tasks: what is learned from which kind of target, with which loss and metrics by default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import harness
from harness.tasks import Task


@harness.task(targets=("class",), loss="cross_entropy", metrics=("accuracy",))
def classification(loss: Callable[..., Any]) -> Task:
    """Tells classes apart: one logit a class, [N, C], against class indices [N]."""
    return Task(loss)


@harness.task(targets=("real",), loss="mse", metrics=("mse",))
def regression(loss: Callable[..., Any]) -> Task:
    """Predicts real numbers: [N, D] against [N, D]."""
    return Task(loss)
