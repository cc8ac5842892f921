"""How a sweep stands, run by run: how many ended how, the best so far, and by which ways they were trained."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from harness.results.record import Record

CACHED = "already complete"
ORDER = ("completed", CACHED, "failed", "interrupted", "diverged", "running")


@dataclass(frozen=True)
class Best:
    """The run whose objective is the best of those that are judged by it."""

    metric: str
    value: float
    name: str


@dataclass
class Trained:
    """Runs that were trained in one way: how many, and the reasons for it, of which there is one for each shape."""

    runs: int = 0
    whys: dict[str, None] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """The first reason, and how many more there are."""
        first, more = next(iter(self.whys), ""), len(self.whys) - 1
        return f"{first}; and {more} more reasons" if more > 1 else f"{first}; and one more reason" if more else first


class Tally:
    """Counts runs as they end; each costs the same, however many there were before."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.best: dict[str, Best] = {}
        self.ways: dict[tuple[str, str], Trained] = {}

    @property
    def ended(self) -> int:
        """How many runs there were."""
        return self.counts.total()

    @property
    def trained(self) -> int:
        """How many of them were not complete before."""
        return self.ended - self.counts[CACHED]

    def counted(self) -> list[tuple[str, int]]:
        """How many ended how, in one order."""
        return [(status, self.counts[status]) for status in ORDER if self.counts[status]]

    def add(self, record: Record) -> None:
        """Counts a run that has ended."""
        self.counts[CACHED if record.cached else record.status] += 1
        self._judge(record)
        if "path" in record.cohort and not record.cached:
            way = self.ways.setdefault((record.cohort["path"], record.cohort.get("executor", "")), Trained())
            way.runs += 1
            if record.cohort.get("why"):
                way.whys[record.cohort["why"]] = None

    def _judge(self, record: Record) -> None:
        """Whether this run is the best; one whose metric's direction no one has recorded is not judged."""
        metric, value = str(record.config.get("objective")), record.objective
        higher = record.best.get(metric, {}).get("higher_is_better")
        if record.status != "completed" or higher is None or not math.isfinite(value):
            return
        best = self.best.get(metric)
        if best is None or (value > best.value if higher else value < best.value):
            self.best[metric] = Best(metric, value, record.name)
