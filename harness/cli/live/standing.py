"""How a sweep stands while it lasts: what has ended, what is trained now, and how long the rest will take."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable

from harness.analysis.report.failures import UNHAPPY, in_common, without
from harness.analysis.report.tally import CACHED, Tally
from harness.execution.sweep.callbacks import SweepCallback, SweepPlan
from harness.execution.sweep.progress import LiveCohort, cohorts
from harness.results.record import Record
from harness.system.errors import HarnessError

LAST = 3  # of those that did not complete, kept to be shown


class SweepState(SweepCallback):
    """Counts the runs of a sweep as they end, and looks for those that are trained. Hold its lock to read it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.clock, self.started = clock, clock()
        self.jobs: int | None = None
        self.tally = Tally()
        self.plan: SweepPlan | None = None
        self.cohorts: list[LiveCohort] = []
        self.last: deque[Record] = deque(maxlen=LAST)
        self._names: dict[str, str] = {}  # of the runs that have not ended
        self._usual: frozenset[str] = frozenset()  # overrides, the same in all of them
        self.training = self.started  # since when

    def on_sweep_start(self, jobs: int) -> None:
        with self.lock:
            self.jobs = jobs

    def on_sweep_planned(self, plan: SweepPlan) -> None:
        with self.lock:
            if self.plan is None:
                self.training = self.clock()
            self.plan = plan
            self._names |= plan.runs
            self._usual = in_common(list(plan.runs.values()))

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        with self.lock:
            self.jobs = jobs if jobs is not None else self.jobs
            self.tally.add(record)
            self._names.pop(record.id, None)
            if record.status in UNHAPPY:
                self.last.append(record)

    def look(self) -> None:
        """Looks for cohorts of this sweep that are trained now, by whichever process."""
        plan = self.plan
        found: list[LiveCohort] = []
        # a file server that is away is no reason to stop: the next look tries again
        with contextlib.suppress(OSError, HarnessError):
            for study in sorted(plan.studies) if plan is not None else ():
                found += cohorts(study)
        with self.lock:
            self.cohorts = [cohort for cohort in found if any(id in self._names for id in cohort.ids)]

    @property
    def running(self) -> int:
        """How many runs living processes hold."""
        return sum(id in self._names for cohort in self.cohorts for id in cohort.ids)

    @property
    def left(self) -> int | None:
        """How many runs nobody has begun."""
        return None if self.jobs is None else max(0, self.jobs - self.tally.ended - self.running)

    def name(self, name: str) -> str:
        """What is special in a run's name."""
        return without(name, self._usual)

    def only(self, cohort: LiveCohort) -> str:
        """The run that a cohort of one trains."""
        return next((self.name(self._names[id]) for id in cohort.ids if id in self._names), "")

    @property
    def share(self) -> float:
        """What part of the sweep is done, with the epochs of those that are trained now."""
        return self._part(self.tally.ended, self.jobs)

    @property
    def gone_s(self) -> float:
        """Seconds since the sweep began."""
        return self.clock() - self.started

    @property
    def training_s(self) -> float:
        """Of these, those since all jobs were checked."""
        return self.clock() - self.training

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take, judged by what was trained and not by what was complete before; None while
        nothing is known.
        """
        if self.plan is None or self.jobs is None:
            return None
        done = self._part(self.tally.trained, self.jobs - self.tally.counts[CACHED])
        return self.training_s * (1 - done) / done if done else None

    def _part(self, ended: int, of: int | None) -> float:
        if not of:
            return 0.0
        begun = sum(cohort.size * cohort.epoch / cohort.epochs for cohort in self.cohorts if cohort.epochs)
        return min(1.0, (ended + begun) / of)

    def counts(self) -> list[tuple[str, int]]:
        """How many runs ended how, are trained, and are left; what is nought is left out."""
        now = [(word, n) for word, n in (("running", self.running), ("left", self.left or 0)) if n]
        return [*self.tally.counted(), *now]


def clock(seconds: float | None) -> str:
    """A time in words; "-" where it is not known.

    >>> clock(None), clock(7.4), clock(3661)
    ('-', '0:07', '1:01:01')
    """
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
