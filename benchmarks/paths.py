"""What the harness chooses for a sweep against each of the plain ways to train it, on named workloads."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.cases import LRS, Case, written
from benchmarks.contest import contest, ours
from benchmarks.measure import Interval, Times, cores, interval, ratio, table

AUTO = "auto"
PLAIN = {
    f"{path}, {executor}": (f"path={path}", f"executor={executor}")
    for path in ("alone", "fused")
    for executor in ("in_process", "loky")
}
ROUNDS = 5
GOAL = 1.1

WORKLOADS = {
    "small mlp, many": Case(
        "20-32-3", "vectors", 2_000, width=32, depth=1, batch_size=32, epochs=10, seeds=16, lrs=LRS
    ),
    "digits mlp": Case("64-128-128-10", epochs=10, seeds=8, lrs=LRS),
    "cnn on 28 x 28": Case("cnn 16-32", "images", 1_000, model="cnn", epochs=2, seeds=4, lrs=LRS[1:3]),
    "wide mlp, few": Case("64-1024-1024-10", width=1_024, epochs=4, seeds=2, lrs=LRS[:2]),
    "two runs": Case("64-128-128-10", epochs=20, seeds=2, lrs=LRS[1:2]),
}
TOYS = ("cnn on 28 x 28", "two runs")  # enough to show that it works


@dataclass(frozen=True)
class Found:
    """What was measured on a workload."""

    times: Times
    way: str  # what the harness chose, the last time
    notes: list[str]

    @property
    def better(self) -> str:
        """The better of the plain ways, by its median."""
        plain = [name for name in self.times if name != AUTO]
        return min(plain, key=lambda name: statistics.median(self.times[name]["ms"]))

    def against_better(self) -> Interval:
        return ratio(self.times, "ms", AUTO, self.better)


def measured(case: Case, rounds: int, warm_up: bool) -> Found:
    """Interleaved rounds of all ways, in one warm process."""
    with written(case) as work:
        rows = [ours(AUTO, case, work), *(ours(name, case, work, *how) for name, how in PLAIN.items())]
        with contest(rows) as found:
            times = found.measure(rounds, warm_up)
            return Found(times, found.ways[AUTO], found.notes)


def shown(found: dict[str, Found], cases: dict[str, Case], rounds: int) -> str:
    """One row a workload: milliseconds a run by each way, the better of the plain ones, and the choice against it."""
    rows, notes = [], []
    for name, one in found.items():
        ways = [one.times.get(way) for way in (*PLAIN, AUTO)]
        known = len(one.times) > 1
        rows.append(
            [
                f"{name}: {cases[name].title}, {cases[name].runs} runs",
                *(f"{interval(way['ms']).median:.1f}" if way else "" for way in ways),
                one.better if known else "",
                one.against_better().show() if known else "",
                one.way,
            ]
        )
        notes += [note for note in one.notes if note not in notes]
    ratios = [one.against_better().median for one in found.values() if len(one.times) > 1]
    if ratios:
        notes.append(f"auto / better: {max(ratios):.2f} at the most, by the medians; the goal is {GOAL}")
    title = f"Paths: ms a run by each way, {rounds} rounds, {cores()} cores"
    return "\n".join([table(title, ["", *PLAIN, AUTO, "better", "auto / better", "chosen"], rows).rstrip(), *notes, ""])


def report(quick: bool = False) -> str:
    """The table of this benchmark."""
    cases = {name: WORKLOADS[name].toy() for name in TOYS} if quick else WORKLOADS
    rounds = 1 if quick else ROUNDS
    return shown({name: measured(case, rounds, not quick) for name, case in cases.items()}, cases, rounds)
