"""Count the runs of a sweep by status and path, and keep the best one."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from harness.results.record import Record

CACHED = "already complete"
ORDER = ("completed", CACHED, "failed", "interrupted", "diverged", "running")


@dataclass(frozen=True)
class Best:
    """The run with the best value of an objective."""

    metric: str
    value: float
    name: str
    higher_is_better: bool = True


@dataclass
class TrainedRuns:
    """The number of runs trained by one path and executor, with the reasons for that choice, one per group of runs."""

    runs: int = 0
    reasons: dict[str, None] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """The first reason, and the number of further ones."""
        first, more = next(iter(self.reasons), ""), len(self.reasons) - 1
        return f"{first}; and {more} more reasons" if more > 1 else f"{first}; and one more reason" if more else first


class Tally:
    """Counts of runs, updated in constant time as runs end."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.best: dict[str, Best] = {}
        self.paths: dict[tuple[str, str], TrainedRuns] = {}  # by (path, executor)

    @property
    def ended(self) -> int:
        """The number of runs that ended."""
        return self.counts.total()

    @property
    def trained(self) -> int:
        """The number of runs that ended and were not cached."""
        return self.ended - self.counts[CACHED]

    def by_status(self) -> list[tuple[str, int]]:
        """Return (status, number of runs) in a fixed order."""
        return [(status, self.counts[status]) for status in ORDER if self.counts[status]]

    def add(self, record: Record) -> None:
        """Count a run that has ended."""
        self.counts[CACHED if record.cached else record.status] += 1
        self._update_best(record)
        if "path" in record.cohort and not record.cached:
            key = record.cohort["path"], record.cohort.get("executor", "")
            trained = self.paths.setdefault(key, TrainedRuns())
            trained.runs += 1
            if record.cohort.get("why"):
                trained.reasons[record.cohort["why"]] = None

    def _update_best(self, record: Record) -> None:
        """Keep this run if it is the best; runs without a recorded direction of their metric are skipped."""
        metric, value = str(record.config.get("objective")), record.objective
        higher = record.best.get(metric, {}).get("higher_is_better")
        if record.status != "completed" or higher is None or not math.isfinite(value):
            return
        best = self.best.get(metric)
        if best is None or (value > best.value if higher else value < best.value):
            self.best[metric] = Best(metric, value, record.name, higher)
