"""Progress of cohorts: the process that trains one notes its epochs in the locks of the study, for all others to see.

This module imports no torch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.execution.locks.run_lock import RunLocks, holders
from harness.system import session
from harness.training.run_callback import RunCallback

NOTE_S = 0.5  # between two notes; a heartbeat writes the latest


class TrainedHere:
    """The cohort that this process trains."""

    progress: EpochProgress | None = None


class EpochProgress(RunCallback):
    """Note the epochs of a cohort in its locks, where other processes see them."""

    def __init__(self, locks: RunLocks, ids: Iterable[str], epochs: int) -> None:
        self.locks, self.ids, self.epochs, self.done = locks, frozenset(ids), epochs, 0
        self._note()
        session.state(TrainedHere).progress = self

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        """Note an epoch when the first run of the cohort ends it."""
        if epoch < self.done:
            return
        self.done = epoch + 1
        if time.monotonic() - self._noted > NOTE_S:
            self._note()

    @property
    def note(self) -> dict[str, int]:
        """The note about each run."""
        return {"epoch": self.done, "epochs": self.epochs, "cohort": len(self.ids)}

    def _note(self) -> None:
        self._noted = time.monotonic()
        self.locks.note(self.ids, **self.note)


@dataclass(frozen=True)
class LiveCohort:
    """Runs that one living process has locked.

    Args:
        ids: The IDs of the runs.
        size: The number of runs that it trains together.
        epoch: The number of epochs that are done.
        epochs: The number of epochs in all; 0 while the process has noted nothing.
    """

    ids: frozenset[str]
    size: int
    epoch: int
    epochs: int


def cohorts(study: Path) -> list[LiveCohort]:
    """Return the cohorts of a study that living processes train.

    The cohort of this process is up to date; those of others are as of their last heartbeat.
    """
    ids: dict[str, list[str]] = {}  # by process
    notes: dict[str, dict[str, Any]] = {}
    current = session.state(TrainedHere).progress
    for run_id, owner in holders(study).items():
        process = str(owner.get("nonce", run_id))
        ids.setdefault(process, []).append(run_id)
        ours = current is not None and run_id in current.ids and owner.get("pid") == os.getpid()
        note = current.note if current is not None and ours else owner.get("note", {})
        if note.get("epoch", -1) > notes.get(process, {}).get("epoch", -1):
            notes[process] = note
    return [_cohort(ids[process], notes.get(process, {})) for process in sorted(ids)]


def _cohort(ids: list[str], note: dict[str, Any]) -> LiveCohort:
    return LiveCohort(frozenset(ids), note.get("cohort", len(ids)), note.get("epoch", 0), note.get("epochs", 0))
