"""The cost of a run in addition to its training, and the memory of the launcher, for 100 to 10,000 trivial runs."""

from __future__ import annotations

import functools
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.contest import PEERS
from benchmarks.measure import Figures, Times, cores, interleave, interval, table
from benchmarks.warm import Warm

BARE = "bare: folder, 4 kB, fsync, rename, fsync"
COUNTS = (100, 1_000, 10_000)


def write_table(path: Path) -> None:
    """32 samples of 4 numbers, in two classes."""
    x = np.random.default_rng(0).standard_normal((32, 4))
    rows = [",".join([*(f"{value:.3f}" for value in row), "no" if row[0] < 0 else "yes"]) for row in x]
    path.write_text("\n".join(["a,b,c,d,y", *rows, ""]))


def shown_count(count: int) -> str:
    return f"{count:,} runs"


def ours(folder: Path, count: int) -> Figures:
    """A sweep of trivial runs in a new, warmed process: milliseconds a run, less the records' `share_s`."""
    data = ["data=csv", f"data.path={folder / 'table.csv'}", "data.target=y"]
    sizes = ["model=mlp", "model.width=8", "model.depth=1", "batch_size=16", "epochs=1", "trainer=cpu"]
    with Warm(folder) as process:
        process.ask(f"{PEERS}:harness_sweep", overrides=[*data, *sizes, f"seed=range({cores()})"])
        found = process.ask(f"{PEERS}:harness_sweep", overrides=[*data, *sizes, f"seed=range({count})"])
    side_by_side = 1 if found["way"].endswith("in_process") else cores()
    return {
        "whole": found["wall"],
        "wall": found["wall"] - found["share"] / side_by_side,
        "cpu": found["cpu"] - found["share"],  # a member trains in one thread
        "resident": found["resident"],
    }


def bare(folder: Path, count: int) -> Figures:
    """As many durable writes as a run cannot do without."""
    with Warm(folder) as process:
        return process.ask(f"{PEERS}:bare", count=count)


def measured(counts: tuple[int, ...], rounds: int) -> Times:
    """Interleaved rounds of new processes. The largest sweep takes minutes and is measured once."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "table.csv")
        runs = {shown_count(count): functools.partial(ours, folder, count) for count in counts}
        last = {shown_count(counts[-1]): runs.pop(shown_count(counts[-1]))}
        times = interleave(runs | {BARE: functools.partial(bare, folder, counts[0])}, rounds, warm_up=False)
        times |= interleave(last, 1, warm_up=False)
    most, fewer = (times[shown_count(count)] for count in (counts[-1], counts[-2]))
    most["growth"] = [most["resident"][0] / statistics.median(fewer["resident"])]
    return times


def report(rounds: int, quick: bool) -> tuple[str, Times]:
    """The table of this benchmark, and its figures."""
    times = measured((2, 4) if quick else COUNTS, rounds)
    rows = [
        [
            name,
            f"{interval(figures['whole']).median:.2f}" if "whole" in figures else "",
            interval(figures["wall"]).show(),
            interval(figures["cpu"]).show(),
            f"{interval(figures['resident']).median:.0f}" if "resident" in figures else "",
            str(len(figures["wall"])),
        ]
        for name, figures in times.items()
    ]
    title = f"Overhead: trivial runs (32 samples, one epoch); beside training: without share_s; {cores()} cores"
    header = ["", "wall ms a run", "beside training", "CPU beside training", "launcher's MB", "rounds"]
    return table(title, header, rows), times
