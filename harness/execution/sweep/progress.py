"""How far a cohort is: told by the process that trains it, seen by any that looks at the study. Imports no torch."""

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

TELL_S = 0.5  # between two notes; a heartbeat writes the last of them


class TrainedHere:
    """The cohort that this process trains."""

    progress: EpochProgress | None = None


class EpochProgress(RunCallback):
    """Notes the epochs of a cohort in its locks, where other processes see them."""

    def __init__(self, claims: RunLocks, ids: Iterable[str], epochs: int) -> None:
        self.claims, self.ids, self.epochs, self.done = claims, frozenset(ids), epochs, 0
        self._note()
        session.state(TrainedHere).progress = self

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        """Note an epoch when the first member of the cohort ends it."""
        if epoch < self.done:
            return
        self.done = epoch + 1
        if time.monotonic() - self._noted > TELL_S:
            self._note()

    @property
    def note(self) -> dict[str, int]:
        """What is told of each run."""
        return {"epoch": self.done, "epochs": self.epochs, "cohort": len(self.ids)}

    def _note(self) -> None:
        self._noted = time.monotonic()
        self.claims.note(self.ids, **self.note)


@dataclass(frozen=True)
class LiveCohort:
    """Runs that one process holds, of which it trains `size` together; `epochs` is 0 while it has told nothing."""

    ids: frozenset[str]
    size: int
    epoch: int
    epochs: int


def cohorts(study: Path) -> list[LiveCohort]:
    """The cohorts of a study that living processes train: of this process as they are, of others as of their last
    heartbeat.
    """
    found: dict[str, list[str]] = {}
    notes: dict[str, dict[str, Any]] = {}
    here = session.state(TrainedHere).progress
    for id, owner in holders(study).items():
        who = str(owner.get("nonce", id))
        found.setdefault(who, []).append(id)
        ours = here is not None and id in here.ids and owner.get("pid") == os.getpid()
        note = here.note if here is not None and ours else owner.get("note", {})
        if note.get("epoch", -1) > notes.get(who, {}).get("epoch", -1):
            notes[who] = note
    return [_cohort(found[who], notes.get(who, {})) for who in sorted(found)]


def _cohort(ids: list[str], note: dict[str, Any]) -> LiveCohort:
    return LiveCohort(frozenset(ids), note.get("cohort", len(ids)), note.get("epoch", 0), note.get("epochs", 0))
