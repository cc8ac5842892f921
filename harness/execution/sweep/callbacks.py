"""Callbacks of a sweep, and the plan that is passed to them.

This module imports no torch, so that a sweep with a mistake in it is refused quickly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness.results.record import Record
from harness.system import session


def over(executor: str) -> str:
    """Say where the runs of an executor are trained.

    >>> over("in_process"), over("loky")
    ('in this process', 'over loky workers')
    """
    return "in this process" if executor == "in_process" else f"over {executor} workers"


@dataclass(frozen=True)
class PlannedRuns:
    """Runs of a sweep that have the same path and executor.

    Args:
        path: The path: "alone" or "fused".
        executor: The name of the executor.
        why: The reason for both.
        runs: The number of runs.
        cohorts: The number of stacks, each of which is one program; a single run counts as one.
        jobs: The number of jobs in a cluster's queue; None where tasks start at once.
    """

    path: str
    executor: str
    why: str
    runs: int
    cohorts: int
    jobs: int | None = None

    @property
    def counts(self) -> str:
        """Describe the number of runs, where they are trained, and the number of stacks and jobs.

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
    """The runs that a sweep is about to train.

    Args:
        runs: The names of the runs by their IDs.
        studies: The folders of their studies.
        groups: The runs by path and executor.
    """

    runs: dict[str, str] = field(default_factory=dict)
    studies: frozenset[Path] = frozenset()
    groups: tuple[PlannedRuns, ...] = ()


class SweepCallback:
    """Base class for callbacks of a sweep, in the process that launches it. All methods are optional."""

    def on_sweep_start(self, jobs: int) -> None:
        """Called before the jobs are composed and checked.

        Args:
            jobs: The number of jobs so far: some sweepers ask for one batch after another.
        """

    def on_sweep_planned(self, plan: SweepPlan) -> None:
        """Called when the cached runs have been reported, before the others are trained."""

    def on_tuning_start(self, contestants: int, runs: int) -> None:
        """Called before the contestants of a sweep are tuned.

        Args:
            contestants: The number of contestants that are searched.
            runs: The number of runs of all of their trials.
        """

    def on_trial_end(self, record: Record) -> None:
        """Called when a run of a trial has ended, or is cached. It is no run of the sweep.

        Args:
            record: The record of the run.
        """

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        """Called when a run of the sweep has ended, or is cached.

        Args:
            index: The index of its job in the sweep, from 0.
            jobs: The number of jobs; None where the sweeper does not know it.
            record: The record of the run.
        """


class Collector(SweepCallback):
    """Collect the records of a sweep by the indices of their jobs."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        """Keep a record."""
        self.records[index] = record


class ActiveCallbacks(list[SweepCallback]):
    """The callbacks of a session, which are called for every sweep."""


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

    def on_tuning_start(self, contestants: int, runs: int) -> None:
        for callback in self.callbacks:
            callback.on_tuning_start(contestants, runs)

    def on_trial_end(self, record: Record) -> None:
        for callback in self.callbacks:
            callback.on_trial_end(record)

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        for callback in self.callbacks:
            callback.on_run_end(index, jobs, record)


class _Trials(SweepCallback):
    """Reports the runs of trials as such."""

    def __init__(self, told: SweepCallback) -> None:
        self.told = told

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        self.told.on_trial_end(record)


@contextmanager
def of_trials() -> Iterator[None]:
    """Report the runs that are trained in the block as trials of tuning, not as runs of the sweep."""
    callbacks = session.state(ActiveCallbacks)
    kept, callbacks[:] = list(callbacks), [_Trials(active())]
    try:
        yield
    finally:
        callbacks[:] = kept


@contextmanager
def using(callbacks: Iterable[SweepCallback]) -> Iterator[None]:
    """Call these callbacks for every sweep of the block.

    They cannot be passed as an argument: Hydra calls the functions that train.
    """
    added, callbacks_of_session = list(callbacks), session.state(ActiveCallbacks)
    callbacks_of_session.extend(added)
    try:
        yield
    finally:
        for callback in added:
            callbacks_of_session.remove(callback)
