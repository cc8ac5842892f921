"""Who watches a sweep: Hydra stands between who starts one and what trains it. Imports no torch, so that a sweep with a
mistake in it is refused without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.results.record import Record


def over(executor: str) -> str:
    """Where an executor's runs are trained, in words.

    >>> over("in_process"), over("loky")
    ('in this process', 'over loky workers')
    """
    return "in this process" if executor == "in_process" else f"over {executor} workers"


@dataclass(frozen=True)
class PlannedRuns:
    """How some runs of a sweep are to be trained, in how many cohorts, and why so."""

    path: str
    executor: str
    why: str
    runs: int
    cohorts: int
    jobs: int | None = None  # of a cluster's queue, among which runs are divided; None where tasks start at once

    @property
    def counts(self) -> str:
        """How many, where, and in how many stacks and jobs if that is not plain.

        >>> PlannedRuns("alone", "submitit", "path=alone", 45, 45, 3).counts
        '45 over submitit workers in 3 jobs'
        >>> PlannedRuns("fused", "loky", "path=fused", 45, 2).counts
        '45 over loky workers in 2 stacks'
        """
        cohorts = f" in {self.cohorts:,} stacks" if 1 < self.cohorts < self.runs else ""
        jobs = f" in {self.jobs:,} job{'s' * (self.jobs > 1)}" if self.jobs is not None else ""
        return f"{self.runs:,} {over(self.executor)}{cohorts}{jobs}"

    def __str__(self) -> str:
        return f"{self.path} {self.counts} ({self.why})"


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is about to train: the names of the runs by their ids, their studies, and the ways they go."""

    runs: dict[str, str] = field(default_factory=dict)
    studies: frozenset[Path] = frozenset()
    ways: tuple[PlannedRuns, ...] = ()


class Watcher:
    """Hears what becomes of a sweep; what is not overridden is not heard."""

    def began(self, jobs: int) -> None:
        """A sweep has, as far as is known, so many jobs; they are now composed and checked."""

    def planned(self, outline: SweepPlan) -> None:
        """What was complete has been told, and the others are now trained."""

    def run(self, place: int, jobs: int | None, record: Record) -> None:
        """A run has ended, or was complete; `jobs` is None where nobody knows how many there are."""


_watchers: list[Watcher] = []


def began(jobs: int) -> None:
    """Tells all who watch that a sweep of so many jobs has begun: none of them is composed."""
    for watcher in _watchers:
        watcher.began(jobs)


def planned(outline: SweepPlan) -> None:
    """Tells all who watch how what is not complete will be trained."""
    for watcher in _watchers:
        watcher.planned(outline)


def tell(place: int, jobs: int | None, record: Record) -> None:
    """Tells all who watch that a run of a sweep has ended."""
    for watcher in _watchers:
        watcher.run(place, jobs, record)


class _Runs(Watcher):
    def __init__(self, done: Callable[[int, int | None, Record], None]) -> None:
        self.done = done

    def run(self, place: int, jobs: int | None, record: Record) -> None:
        self.done(place, jobs, record)


@contextmanager
def watching(who: Watcher | Callable[[int, int | None, Record], None]) -> Iterator[None]:
    """Inside, a watcher hears of every sweep; a function is called with (place, jobs, record) after each run."""
    watcher = who if isinstance(who, Watcher) else _Runs(who)
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)
