"""Callbacks of a sweep, and the plan that they are told.

Imports no torch: a sweep with a mistake in it is refused without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.results.record import Record
from harness.system import session


def over(executor: str) -> str:
    """Where an executor's runs are trained, in words.

    >>> over("in_process"), over("loky")
    ('in this process', 'over loky workers')
    """
    return "in this process" if executor == "in_process" else f"over {executor} workers"


@dataclass(frozen=True)
class PlannedRuns:
    """Runs of a sweep that are trained in one way: the path, the executor, the reason, and the number of cohorts."""

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
    """The runs that a sweep is about to train: their names by their ids, their studies, and how they are trained."""

    runs: dict[str, str] = field(default_factory=dict)
    studies: frozenset[Path] = frozenset()
    ways: tuple[PlannedRuns, ...] = ()


class SweepCallback:
    """Base class for callbacks of a sweep, in the process that launches it. All methods are optional."""

    def on_sweep_start(self, jobs: int) -> None:
        """Called before the jobs are composed and checked.

        Args:
            jobs: The number of jobs, as far as it is known: some sweepers ask for one batch after another.
        """

    def on_sweep_planned(self, plan: SweepPlan) -> None:
        """Called when the cached runs have been reported, before the others are trained."""

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        """Called when a run of the sweep has ended, or is cached.

        Args:
            index: The place of its job in the sweep, counted from 0.
            jobs: The number of jobs; None where the sweeper does not know it.
            record: The record of the run.
        """


class Collector(SweepCallback):
    """Collects the records of a sweep by the places of their jobs."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        self.records[index] = record


class ActiveCallbacks(list[SweepCallback]):
    """The callbacks that hear of every sweep of a session."""


def active() -> SweepCallback:
    """Return one callback that calls all active ones."""
    return _All(session.state(ActiveCallbacks))


class _All(SweepCallback):
    def __init__(self, callbacks: Sequence[SweepCallback]) -> None:
        self.callbacks = tuple(callbacks)

    def on_sweep_start(self, jobs: int) -> None:
        for callback in self.callbacks:
            callback.on_sweep_start(jobs)

    def on_sweep_planned(self, plan: SweepPlan) -> None:
        for callback in self.callbacks:
            callback.on_sweep_planned(plan)

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        for callback in self.callbacks:
            callback.on_run_end(index, jobs, record)


@contextmanager
def using(callbacks: Iterable[SweepCallback]) -> Iterator[None]:
    """Call these callbacks for every sweep of the block: Hydra stands between its start and its training."""
    own, everyone = list(callbacks), session.state(ActiveCallbacks)
    everyone.extend(own)
    try:
        yield
    finally:
        for callback in own:
            everyone.remove(callback)
