"""The state of a sweep in progress: runs that have ended, cohorts in training, and the remaining time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from harness.analysis.report.failures import NOT_COMPLETED, common_overrides, drop_overrides
from harness.analysis.report.tally import CACHED, Tally
from harness.execution.sweep.callbacks import SweepCallback, SweepPlan
from harness.execution.sweep.progress import LiveCohort, cohorts
from harness.results.record import Record
from harness.system.errors import HarnessError

MAX_FAILURES = 3  # last runs that did not complete, kept to be shown


class SweepState(SweepCallback):
    """State of a sweep, updated as runs end and by `refresh`. Readers must hold its lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.clock, self.started = clock, clock()
        self.jobs: int | None = None
        self.tally = Tally()
        self.plan: SweepPlan | None = None
        self.cohorts: list[LiveCohort] = []
        self.last: deque[Record] = deque(maxlen=MAX_FAILURES)
        self._names: dict[str, str] = {}  # {id: name} of the runs that have not ended
        self._shared: frozenset[str] = frozenset()  # overrides that all of them share
        self.training = self.started  # time at which training began

    def on_sweep_start(self, jobs: int) -> None:
        with self.lock:
            self.jobs = jobs

    def on_sweep_planned(self, plan: SweepPlan) -> None:
        with self.lock:
            if self.plan is None:
                self.training = self.clock()
            self.plan = plan
            self._names |= plan.runs
            self._shared = common_overrides(list(plan.runs.values()))

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        with self.lock:
            self.jobs = jobs if jobs is not None else self.jobs
            self.tally.add(record)
            self._names.pop(record.id, None)
            if record.status in NOT_COMPLETED:
                self.last.append(record)

    def refresh(self) -> None:
        """Look up the cohorts of this sweep that any process is training now."""
        plan = self.plan
        live: list[LiveCohort] = []
        # if a file server is away, the next call tries again
        with contextlib.suppress(OSError, HarnessError):
            for study in sorted(plan.studies) if plan is not None else ():
                live += cohorts(study)
        with self.lock:
            self.cohorts = [cohort for cohort in live if any(id in self._names for id in cohort.ids)]

    @property
    def running(self) -> int:
        """The number of runs that living processes hold."""
        return sum(id in self._names for cohort in self.cohorts for id in cohort.ids)

    @property
    def left(self) -> int | None:
        """The number of runs that nobody has begun, or None if the number of jobs is unknown."""
        return None if self.jobs is None else max(0, self.jobs - self.tally.ended - self.running)

    def short_name(self, name: str) -> str:
        """Return a run's name without the overrides that all runs share."""
        return drop_overrides(name, self._shared)

    def single_run(self, cohort: LiveCohort) -> str:
        """Return the name of the run that a cohort of one trains."""
        return next((self.short_name(self._names[id]) for id in cohort.ids if id in self._names), "")

    @property
    def share(self) -> float:
        """The share of the sweep that is done, including epochs of the runs in training."""
        return self._share_done(self.tally.ended, self.jobs)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the sweep began."""
        return self.clock() - self.started

    @property
    def training_s(self) -> float:
        """Seconds since training began."""
        return self.clock() - self.training

    @property
    def left_s(self) -> float | None:
        """Estimated seconds until the end, from the runs trained so far; None while nothing is known."""
        if self.plan is None or self.jobs is None:
            return None
        done = self._share_done(self.tally.trained, self.jobs - self.tally.counts[CACHED])
        return self.training_s * (1 - done) / done if done else None

    def _share_done(self, ended: int, total: int | None) -> float:
        if not total:
            return 0.0
        partial = sum(cohort.size * cohort.epoch / cohort.epochs for cohort in self.cohorts if cohort.epochs)
        return min(1.0, (ended + partial) / total)

    def counts(self) -> list[tuple[str, int]]:
        """Return (word, number of runs) for each status, for runs in training and for runs left; zeros are left out."""
        pending = [(word, n) for word, n in (("running", self.running), ("left", self.left or 0)) if n]
        return [*self.tally.by_status(), *pending]


def format_seconds(seconds: float | None) -> str:
    """Format a duration as [h:]mm:ss; "-" if it is unknown.

    >>> format_seconds(None), format_seconds(7.4), format_seconds(3661)
    ('-', '0:07', '1:01:01')
    """
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
