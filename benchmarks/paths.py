"""The choice of `path=auto` and `executor=auto` against each fixed choice, on named workloads."""

from __future__ import annotations

import statistics

from benchmarks.cases import LRS, Case, written
from benchmarks.contest import Contest, contest, ours
from benchmarks.measure import Times, cores, ratio, table

AUTO, BETTER = "auto", "the better of the plain ways"
PLAIN = {
    f"{path}, {executor}": (f"path={path}", f"executor={executor}")
    for path in ("alone", "fused")
    for executor in ("in_process", "loky")
}

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


def way(workload: str, name: str) -> str:
    """The name of a way in the figures of all workloads."""
    return f"{workload}, {name}"


def measured(case: Case, rounds: int, warm_up: bool) -> tuple[Contest, Times]:
    """Interleaved rounds of all ways, in one warm process; BETTER repeats the plain one with the smaller median."""
    with written(case) as work:
        rows = [ours(AUTO, case, work), *(ours(name, case, work, *how) for name, how in PLAIN.items())]
        with contest(rows) as found:
            times = found.measure(rounds, warm_up)
            times[BETTER] = times[better(times)]
            return found, times


def better(times: Times) -> str:
    """The plain way with the smaller median."""
    return min(PLAIN.keys() & times.keys(), key=lambda name: statistics.median(times[name]["wall"]))


def report(rounds: int, quick: bool) -> tuple[str, Times]:
    """One row a workload: milliseconds a run by each way, and the choice against the better of the plain ones."""
    rows, figures = [], {}
    for workload, case in WORKLOADS.items():
        if quick and workload not in TOYS:
            continue
        case = case.toy() if quick else case
        found, times = measured(case, rounds, warm_up=not quick)
        figures |= {way(workload, name): each for name, each in times.items()}
        medians = [f"{statistics.median(times[name]['wall']):.1f}" for name in (*PLAIN, AUTO)]
        choice = [better(times), ratio(times, "wall", AUTO, BETTER).show(), found.ways[AUTO]]
        rows.append([f"{workload}: {case.title}, {case.runs} runs", *medians, *choice])
    title = f"Paths: ms a run by each way, {rounds} rounds, {cores()} cores"
    return table(title, ["", *PLAIN, AUTO, "better", "auto / better", "chosen"], rows), figures
