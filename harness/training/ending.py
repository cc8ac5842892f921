"""Why training ended: it made the steps that were planned, or the record says what ended it earlier."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer

from harness.training.plan import Plan
from harness.training.run_state import RunState

P = ParamSpec("P")
T = TypeVar("T")
MAX_TIME = "trainer.max_time"


def raising(function: Callable[P, T]) -> Callable[P, T]:
    """Turn a component's StopIteration into a RuntimeError, as a generator does (PEP 479).

    Loops, Lightning's among them, take a StopIteration for the end of the data, and the run would end as completed.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except StopIteration as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
            raise RuntimeError(f"a component raised StopIteration ({place})") from error

    return call


def ended_by_timer(trainer: pl.Trainer) -> str | None:
    """The setting that has ended training by the clock, if one has."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    left = [timer.time_remaining() for timer in timers]
    return MAX_TIME if any(seconds is not None and seconds <= 0 for seconds in left) else None


def refuse_short_training(member: RunState, planned: int) -> None:
    """Mark a member as failed that has made fewer steps than planned without a reason."""
    if member.made < planned and member.stopped_by is None and not (member.diverged or member.failed):
        member.failed = RuntimeError(
            f"training ended after {member.made} of {planned} steps, and nothing had asked for it"
        )


def ending(status: str, member: RunState | None, plan: Plan) -> tuple[dict[str, int], dict[str, Any]]:
    """The record's `steps` and `ended` of a run that has ended.

    Args:
        status: The run's status.
        member: What the run left; None where it ended before training.
        plan: The run's plan.

    Returns:
        `{"planned": n, "made": n}`, and `{"reason": ..., "by": ..., "epoch": n}`: the reason is `epochs` for a
        completed run that made all its steps, `early_stopping` or `max_time` for one ended by a setting (`by`), and the
        status for any other. `epoch` counts the epochs that were completed.
    """
    made, epoch = (member.made, member.epochs) if member is not None else (0, 0)
    steps = {"planned": plan.total_steps, "made": made}
    by = member.stopped_by if member is not None else None
    if status != "completed":
        return steps, {"reason": status, "by": None, "epoch": epoch}
    if by is None or made == plan.total_steps:
        return steps, {"reason": "epochs", "by": "epochs", "epoch": epoch}
    return steps, {"reason": "max_time" if by == MAX_TIME else "early_stopping", "by": by, "epoch": epoch}


def never_finite(member: RunState, objective: str | None) -> list[str]:
    """Lines on metrics that were watched and were not finite in any epoch: nothing could be decided by them."""
    lines = []
    watched = [(f"regularizer.{member.name(r)}", r.watch) for r in member.regularizers if _watches(member, r)]
    if objective is not None:
        watched.append(("save=best", objective))
    for who, metric in watched:
        values = [row[metric] for row in member.history if metric in row]
        if values and metric not in member.best:
            found = "nan" if all(value != value for value in values) else "not finite"
            lines.append(f"{who} watched {metric}, which was {found} in every epoch: it could not tell a better epoch")
    return lines


def _watches(member: RunState, regularizer: Any) -> bool:
    return regularizer in member.stoppers or regularizer.keep == "best"
