"""What a worker does: one share of a sweep."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

from harness.cohort.attempt import How
from harness.cohort.together import train_cohort
from harness.errors import HarnessError
from harness.identity import components
from harness.loading import Loader, OverlapWarning
from harness.prepare import Preparation, Prepared, refuse_stale
from harness.process_state import StateWarning, as_new
from harness.record import Record
from harness.remarks import TargetWarning

_loader = Loader()  # data stays in a worker from one share to the next


@as_new()
def train_share(members: Sequence[Prepared], how: How, launcher: int) -> list[Record | None]:
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
