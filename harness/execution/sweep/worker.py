"""What a worker does: one task of a sweep, which is one share or several, one after another."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

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

# The records of a share, None for a run that a living process trains elsewhere; or what ended the share.
Outcome = list[Record | None] | Exception

_loader = Loader()  # data stays in a worker from one share to the next


def train_task(shares: Sequence[WorkItem], launcher: int) -> list[Outcome]:
    """Train the shares of a task one after another.

    Args:
        shares: The shares.
        launcher: The number of the process that launched the sweep.

    Returns:
        The outcome of each share. There are fewer than shares if the machine, or a failed run with `fail_fast`, left no
        use in the others.
    """
    outcomes: list[Outcome] = []
    for share in shares:
        try:
            outcomes.append(train_share(share.members, share.how, launcher))
        except Exception as error:
            outcomes.append(sendable(error))
        if _ends_task(outcomes[-1], share.members[0].values["fail_fast"]):
            break
    return outcomes


def _ends_task(outcome: Outcome, fail_fast: bool) -> bool:
    if isinstance(outcome, Exception):
        return fail_fast or (isinstance(outcome, CannotWrite) and machine_fault(outcome) is not None)
    records = [record for record in outcome if record is not None]
    return any(blames_machine(record) or (fail_fast and record.status == "failed") for record in records)


@as_new()
def train_share(members: Sequence[RunSpec], how: CohortPlan, launcher: int) -> list[Record | None]:
    """Trains a share and returns its records; None for a run that a living process trains elsewhere.

    Raises HarnessError if this process sees other sources or data than the process `launcher` did, or has imported
    sources that have changed since.
    """
    if os.getpid() == launcher:
        refuse_stale(members)
        return train_cohort(members, how)
    for said in (OverlapWarning, TargetWarning, StateWarning):  # by the launcher
        warnings.simplefilter("ignore", said)
    preparation = Preparation(_loader)
    for member in members:
        member.loader = _loader
    for member in {(*components(m.values), m.record.data["digest"]): m for m in members}.values():
        if preparation.identity(member.values, member.asked) != member.record.id:
            raise HarnessError(
                f"the sources or the data of {member.record.name} changed while the sweep was running; start it again"
            )
    refuse_stale(members)  # a worker may be forked from a process that had imported them before
    return train_cohort(members, how)
