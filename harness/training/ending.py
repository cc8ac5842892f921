"""The end of training: whether a run made the steps that were planned, and the reason if it did not."""

from __future__ import annotations

import functools
import math
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


def convert_stop_iteration(function: Callable[P, T]) -> Callable[P, T]:
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
    """Return the setting that limits the time of training if its limit was reached, else None."""
    timers = [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
    remaining = [timer.time_remaining() for timer in timers]
    return MAX_TIME if any(seconds is not None and seconds <= 0 for seconds in remaining) else None


def fail_short_training(state: RunState, planned: int) -> None:
    """Mark a run as failed if it made fewer steps than planned without a reason."""
    if state.steps_made < planned and state.stopped_by is None and not (state.diverged or state.failed):
        state.failed = RuntimeError(
            f"training ended after {state.steps_made} of {planned} steps, and nothing had asked for it"
        )


def describe_ending(status: str, state: RunState | None, plan: Plan) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the `steps` and `ended` of the record of a run that has ended.

    Args:
        status: The run's status.
        state: The state of the run; None if it ended before training.
        plan: The run's plan.

    Returns:
        `{"planned": n, "made": n}`, and `{"reason": ..., "by": ..., "epoch": n}`: the reason is `epochs` for a
        completed run that made all its steps, `early_stopping` or `max_time` for one ended by a setting (`by`), and the
        status for any other. `epoch` counts the epochs that were completed.
    """
    made, epoch = (state.steps_made, state.epochs) if state is not None else (0, 0)
    steps = {"planned": plan.total_steps, "made": made}
    by = state.stopped_by if state is not None else None
    if status != "completed":
        return steps, {"reason": status, "by": None, "epoch": epoch}
    if by is None or made == plan.total_steps:
        return steps, {"reason": "epochs", "by": "epochs", "epoch": epoch}
    return steps, {"reason": "max_time" if by == MAX_TIME else "early_stopping", "by": by, "epoch": epoch}


def warn_never_finite(state: RunState, objective: str | None) -> list[str]:
    """Return a warning for each metric that was to select an epoch and was finite in none.

    Args:
        state: The state of the run.
        objective: The metric whose best weights are saved; None if the last weights are.
    """
    lines = []
    monitored = [
        (f"regularizer.{state.regularizer_name(r)}", r.watch)
        for r in state.regularizers
        if r in state.stoppers or r.keep == "best"
    ]
    if objective is not None:
        monitored.append(("save=best", objective))
    for setting, metric in monitored:
        values = [row[metric] for row in state.history if metric in row]
        if values and not any(map(math.isfinite, values)):
            kind = "nan" if all(value != value for value in values) else "not finite"
            lines.append(
                f"{setting} watched {metric}, which was {kind} in every epoch: it could not tell a better epoch"
            )
    return lines
