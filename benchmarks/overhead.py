"""What a run costs beside its training, from ten to ten thousand trivial ones, and whether the memory grows."""

from __future__ import annotations

import functools
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.contest import PEERS
from benchmarks.measure import Figures, Times, cores, interleave, interval, ratio, table
from benchmarks.warm import Warm

BARE = "bare: folder, 4 kB, fsync, rename, fsync"
BASE, MANY = 100, 10_000
PATIENCE_S = 180  # ten thousand runs that would take longer want --full


def write_table(path: Path) -> None:
    """32 samples of 4 numbers, in two classes."""
    x = np.random.default_rng(0).standard_normal((32, 4))
    rows = [",".join([*(f"{value:.3f}" for value in row), "no" if row[0] < 0 else "yes"]) for row in x]
    path.write_text("\n".join(["a,b,c,d,y", *rows, ""]))


def shown_count(count: int) -> str:
    return f"{count:,} runs"


def ours(folder: Path, count: int) -> Figures:
    """So many trivial runs in a new, warmed process: milliseconds a run, less the records' `share_s`."""
    data = ["data=csv", f"data.path={folder / 'table.csv'}", "data.target=y"]
    sizes = ["model=mlp", "model.width=8", "model.depth=1", "batch_size=16", "epochs=1", "trainer=cpu"]
    with Warm(folder) as process:
        process.ask(f"{PEERS}:harness_sweep", overrides=[*data, *sizes, f"seed=range({cores()})"])
        found = process.ask(f"{PEERS}:harness_sweep", overrides=[*data, *sizes, f"seed=range({count})"])
    side_by_side = 1 if found["way"].endswith("in_process") else cores()
    beside = found["ms"] - found["share"] / side_by_side
    return {"ms": beside, "resident": found["resident"], "whole": found["ms"]}


def bare(folder: Path, count: int) -> Figures:
    """As many durable writes as a run cannot do without."""
    with Warm(folder) as process:
        return process.ask(f"{PEERS}:bare", count=count)


def measured(counts: tuple[int, ...], rounds: int) -> Times:
    """Interleaved rounds of new processes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_table(folder / "table.csv")
        runs = {shown_count(count): functools.partial(ours, folder, count) for count in counts}
        return interleave(runs | {BARE: functools.partial(bare, folder, max(counts[0], 100))}, rounds, warm_up=False)


def rows(times: Times, base: str) -> list[list[str]]:
    """One row a number of runs."""
    return [
        [
            name,
            f"{interval(found['whole']).median:.2f}" if "whole" in found else "",
            interval(found["ms"]).show(),
            ratio(times, "ms", name, base).show(),
            ratio(times, "ms", name, BARE).show(1),
            f"{interval(found['resident']).median:.0f}" if "resident" in found else "",
            str(len(found["ms"])),
        ]
        for name, found in times.items()
    ]


def report(quick: bool = False, full: bool = False) -> str:
    """The table of this benchmark."""
    counts, rounds, base = ((2, 4), 1, 4) if quick else ((10, BASE, 1_000), 5, BASE)
    times = measured(counts, rounds)
    lines, said = rows(times, shown_count(base)), ""
    if not quick:
        takes = statistics.median(times[shown_count(counts[-1])]["whole"]) / 1e3 * MANY
        if takes <= PATIENCE_S or full:
            lines += [row for row in rows(measured((BASE, MANY), 1), shown_count(BASE)) if row[0] == shown_count(MANY)]
        else:
            said = f"left out: {shown_count(MANY)} would take {takes / 60:.0f} minutes; --full measures them\n"
    title = f"Overhead: trivial runs (32 samples, one epoch): wall time, and what of it is not share_s; {cores()} cores"
    header = ["", "wall ms a run", "beside training", f"/ that of {base}", "/ bare", "launcher's MB", "rounds"]
    return table(title, header, lines) + said
