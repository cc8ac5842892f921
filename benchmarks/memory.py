"""Peak memory of a single run: each contestant in a process of its own, above the level after imports and a warm-up."""

from __future__ import annotations

import functools
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cases import Case, written
from benchmarks.contest import PEERS
from benchmarks.measure import Figures, Times, interleave, interval, ratio, table
from benchmarks.peers import CLEAR
from benchmarks.warm import ONE_THREAD, Warm

OURS, LOOP = "harness", "loop, Adam"
LARGE = Case("npz of 28 x 28 images, mlp", "images", 70_000, epochs=1, seeds=1, lrs=(0.001,))  # 220 MB


def peak(function: str, tiny: Figures, given: Figures) -> Figures:
    """A contestant's peak, in a new process."""
    with TemporaryDirectory() as folder, Warm(Path(folder), ONE_THREAD) as process:
        return process.ask(f"{PEERS}:peak_memory", function=function, tiny=tiny, given=given)


def measured(case: Case, rounds: int) -> Times:
    """Interleaved rounds of new processes; both read one file, split it and standardise it."""
    with written(case.toy().one(1)) as small, written(case) as work:
        both = {
            OURS: ("harness_run", {"overrides": small.overrides(case)}, {"overrides": work.overrides(case)}),
            LOOP: ("loop", *(each.plain(case) | {"arrays": str(each.source)} for each in (small, work))),
        }
        return interleave({name: functools.partial(peak, *each) for name, each in both.items()}, rounds, warm_up=False)


def report(rounds: int, quick: bool) -> tuple[str, Times]:
    """The table of this benchmark, and its figures; a line where the system cannot tell a process's peak."""
    if not CLEAR.exists():
        return "Peak memory: needs Linux (/proc/self/clear_refs)\n", {}
    times = measured(LARGE.toy().one(1) if quick else LARGE, rounds)
    rows = [
        [name, interval(figures["peak"]).show(1), ratio(times, "peak", name, LOOP).show()]
        for name, figures in times.items()
    ]
    title = f"Peak memory above the level after imports: {LARGE.title}, {rounds} rounds, one thread"
    return table(title, ["", "MB", "/ loop"], rows), times
