"""The goals: a bound on each figure that matters, and a table that compares them with measured figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import memory, overhead, paths, single_run, startup, sweep
from benchmarks.measure import Interval, Times, interval, ratio, table


@dataclass(frozen=True)
class Goal:
    """A bound on a contestant's figure, or on its ratio to another's figure of the same round."""

    benchmark: str
    contestant: str
    figure: str  # as the benchmark calls it
    limit: float
    over: str = ""  # the other contestant, of a ratio
    at_least: bool = False
    unit: str = ""

    def title(self) -> str:
        """The measurement in words."""
        over = f" / {self.over}" if self.over else ""
        return f"{self.benchmark}: {self.contestant}{over}, {NAMES[self.figure]}"

    def bound(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}".rstrip()

    def measured(self, times: Times, figure: str) -> Interval | None:
        """Return the figure or the ratio; None if it was not measured."""
        if any(figure not in times.get(name, {}) for name in filter(None, (self.contestant, self.over))):
            return None
        return (
            ratio(times, figure, self.contestant, self.over) if self.over else interval(times[self.contestant][figure])
        )

    def met(self, found: Interval) -> str:
        """Return yes or no if the whole interval lies on one side of the bound, else unsettled."""
        low, high = found.low <= self.limit, found.high <= self.limit
        if self.at_least:
            low, high = found.low >= self.limit, found.high >= self.limit
        return {2: "yes", 1: "unsettled", 0: "no"}[low + high]


NAMES = {
    "wall": "time",
    "cpu": "CPU time",
    "fit_wall": "time of a step",
    "fit_cpu": "CPU time of a step",
    "first_cpu": "CPU time to the first epoch",
    "growth": "the launcher's memory / with a tenth of the runs",
    "peak": "peak memory",
    "peak_wall": "share of a core's peak while it trains",
}

GOALS = (
    Goal("digits", sweep.OURS, "wall", 1.0, over=sweep.JAX),
    Goal("digits", sweep.STOCK, "wall", 30, over=sweep.OURS, at_least=True),
    Goal("digits", sweep.LOOP, "wall", 6, over=sweep.OURS, at_least=True),
    Goal("digits", sweep.OURS, "peak_wall", 45, at_least=True, unit="%"),
    Goal("small", sweep.OURS, "wall", 0.7, over=sweep.JAX),
    Goal("small", sweep.STOCK, "wall", 250, over=sweep.OURS, at_least=True),
    Goal("cnn", sweep.STOCK, "wall", 8, over=sweep.OURS, at_least=True),
    Goal("images", sweep.OURS, "wall", 1.0, over=sweep.LOKY),
    Goal("single_run", single_run.OURS, "fit_wall", 0.65, over=single_run.FUSED),
    Goal("single_run", single_run.OURS, "fit_cpu", 1.05, over=single_run.UNWATCHED),
    Goal("startup", startup.RUN, "cpu", 3.5, unit="s"),
    Goal("startup", startup.RUN, "first_cpu", 3.2, unit="s"),
    Goal("startup", "harness --help", "wall", 1.0, over=startup.BARE),
    *(
        Goal("overhead", overhead.shown_count(count), figure, limit, unit="ms")
        for count in overhead.COUNTS[1:]
        for figure, limit in (("cpu", 2.5), ("wall", 3.0))
    ),
    Goal("overhead", overhead.shown_count(overhead.COUNTS[-1]), "growth", 1.1),
    *(
        Goal("paths", paths.way(name, paths.AUTO), "wall", 1.1, over=paths.way(name, paths.BETTER))
        for name in paths.WORKLOADS
    ),
    Goal("memory", memory.OURS, "peak", 1.2, over=memory.LOOP),
)


def summary(measured: Mapping[str, Times]) -> str:
    """Return the table of goals whose benchmarks have run."""
    rows = []
    for goal in GOALS:
        if goal.benchmark not in measured:
            continue
        times = measured[goal.benchmark]
        found = goal.measured(times, goal.figure)
        cpu = goal.measured(times, goal.figure.replace("wall", "cpu")) if "wall" in goal.figure else None
        shown = (
            ["not measured", "", ""] if found is None else [found.show(), cpu.show() if cpu else "", goal.met(found)]
        )
        rows.append([goal.title(), goal.bound(), *shown])
    return table("Goals", ["", "goal", "measured", "the same by CPU time", "met"], rows) if rows else ""
