"""What a worker does: one share of a sweep."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

from harness.errors import HarnessError
from harness.load_data import Loader, OverlapWarning
from harness.prepare import Preparation, Prepared
from harness.record import Record
from harness.runner import How, train_cohort

_loader = Loader()  # data stays in a worker from one share to the next


def train_share(members: Sequence[Prepared], how: How, launcher: int) -> list[Record | None]:
    """Trains a share and returns its records; None for a run that a living process trains elsewhere.

    Raises HarnessError if this process sees other sources or data than the process `launcher` did.
    """
    if os.getpid() == launcher:
        return train_cohort(members, how, _loader)
    warnings.simplefilter("ignore", OverlapWarning)  # the launcher has said it
    for member in members[:1]:
        seen = Preparation(_loader).identity(member.values)
        if seen != member.record.id:
            raise HarnessError(
                f"the sources or the data of {member.record.name} changed while the sweep was running; start it again"
            )
    return train_cohort(members, how, _loader)
