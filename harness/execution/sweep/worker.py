"""Train the work items of a task in a worker."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

from harness.datasets.loading import Loader, OverlapWarning
from harness.datasets.remarks import TargetWarning
from harness.execution.cohort import CohortPlan, train_cohort
from harness.execution.preparation import Preparation, RunSpec, refuse_stale
from harness.execution.sweep.strategy import WorkItem
from harness.execution.workers import sendable
from harness.results.machine_faults import blames_machine, machine_fault
from harness.results.record import Record
from harness.results.run_id import components
from harness.system.errors import CannotWrite, HarnessError
from harness.system.process_state import StateWarning, as_new

# The records of an item, None for a run that another living process trains; or the exception that ended the item.
Outcome = list[Record | None] | Exception

CHECK_S = 0.25  # to stat the files of all components takes milliseconds, as long as a small run

_checked: dict[tuple[Any, ...], float] = {}  # when the sources and the data of runs were checked, by sweep and state
_loader = Loader()  # a worker keeps its data from one item to the next


def train_task(items: Sequence[WorkItem], launcher: int) -> list[Outcome]:
    """Train the items of a task one after another.

    Args:
        items: The items.
        launcher: The ID of the process that launched the sweep.

    Returns:
        The outcome of each item. There are fewer outcomes than items if a fault of the machine, or a failed run with
        `fail_fast`, ended the task.
    """
    outcomes: list[Outcome] = []
    for item in items:
        try:
            outcomes.append(train_item(item.specs, item.plan, launcher))
        except Exception as error:
            outcomes.append(sendable(error))
        if _ends_task(outcomes[-1], item.specs[0].values["fail_fast"]):
            break
    return outcomes


def _ends_task(outcome: Outcome, fail_fast: bool) -> bool:
    if isinstance(outcome, Exception):
        return fail_fast or (isinstance(outcome, CannotWrite) and machine_fault(outcome) is not None)
    records = [record for record in outcome if record is not None]
    return any(blames_machine(record) or (fail_fast and record.status == "failed") for record in records)


@as_new()
def train_item(specs: Sequence[RunSpec], plan: CohortPlan, launcher: int) -> list[Record | None]:
    """Train the runs of a work item.

    Args:
        specs: The runs.
        plan: The path, the executor and the reason for both.
        launcher: The ID of the process that launched the sweep.

    Returns:
        The records; None for a run that another living process trains.

    Raises:
        HarnessError: If this process sees other sources or data than the launcher did, or if sources that it has
            imported have changed since.
    """
    unchecked = _unchecked(specs, plan.sweep)
    if os.getpid() != launcher:
        _join_launch(specs, list(unchecked.values()))
    refuse_stale(list(unchecked.values()))  # a worker may be forked from a process that had imported them before
    _checked.update(dict.fromkeys(unchecked, time.monotonic()))
    return train_cohort(specs, plan)


def _join_launch(specs: Sequence[RunSpec], unchecked: Sequence[RunSpec]) -> None:
    """Prepare this process for runs of another process. Raises HarnessError if it sees other sources or data."""
    for category in (OverlapWarning, TargetWarning, StateWarning):  # the launcher has given them
        warnings.simplefilter("ignore", category)
    preparation = Preparation(_loader)
    for spec in specs:
        spec.loader = _loader
    for spec in unchecked:
        if preparation.identity(spec.values, spec.asked) != spec.record.id:
            raise HarnessError(
                f"the sources or the data of {spec.record.name} changed while the sweep was running; start it again"
            )


def _unchecked(specs: Sequence[RunSpec], sweep: str) -> dict[tuple[Any, ...], RunSpec]:
    """Return one run for each state of sources and data that was not checked for this sweep within CHECK_S."""
    now = time.monotonic()
    for key in [key for key, checked in _checked.items() if not sweep or key[0] != sweep or now - checked > CHECK_S]:
        del _checked[key]
    states = {(sweep, os.getpid(), *components(spec.values), spec.record.data["digest"]): spec for spec in specs}
    return {key: spec for key, spec in states.items() if key not in _checked}
