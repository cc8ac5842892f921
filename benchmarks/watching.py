"""What diagnostics cost: the same training with the cheap ones, with all of them, and with none."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl

import harness
from benchmarks import at_once
from benchmarks.measure import Figures, Times, interval, ratio, table

NONE, STANDARD, FULL = "none", "standard", "full, diagnostic_budget=1"
SETS = {
    NONE: ["diagnostic=[]"],
    STANDARD: ["diagnostic=[standard]"],
    FULL: ["diagnostic=[full]", "diagnostic_budget=1"],
}
EPOCHS, MEMBERS = 20, 32
LONG, LONG_ROUNDS = 280, 9  # epochs of a run in which a dozen looks fit in the budget
ROUNDS, FEW = 31, 9  # of the cheap ones, whose interval must be narrow, and of all of them
TURNS = {1: 5, MEMBERS: 1}  # trainings in a row: of their mean


@contextmanager
def clocked() -> Iterator[list[float]]:
    """Inside, every fit of Lightning's notes the processor seconds that it takes."""
    found: list[float] = []
    real = pl.Trainer.fit

    def fit(self: pl.Trainer, *given: Any, **named: Any) -> None:
        began = time.process_time()
        try:
            real(self, *given, **named)
        finally:
            found.append(time.process_time() - began)

    pl.Trainer.fit = fit  # type: ignore[method-assign]
    try:
        yield found
    finally:
        pl.Trainer.fit = real  # type: ignore[method-assign]


def trained(epochs: int, members: int, name: str, number: int) -> Figures:
    """One run, or one stack: seconds that the process computed while it trained, and in all; how often it looked.

    Processor time: what others do on the machine is in it as far as they slow a core down, and not as they take one.
    """
    first = number * members
    line = [*SETS[name], f"epochs={epochs}", "trainer=cpu"]
    began = time.process_time()
    with clocked() as fits:
        if members == 1:
            records = [harness.run([*line, f"seed={first}", "study=watching"])]
        else:
            many = ["path=fused", "executor=in_process", "study=watched", f"seed=range({first},{first + members})"]
            records = list(harness.sweep([*line, *many]))
    whole = time.process_time() - began
    for record in records:
        assert record.status == "completed", record.error
        failed = {name: row["failed"] for name, row in record.diagnostics.items() if "failed" in row}
        assert not failed, failed
    told = records[0].diagnostics.values()
    looks = [row["looks"] for row in told if row.get("looks")]
    share = sum(row.get("cost_share", 0.0) for row in told)
    return {"fit": sum(fits), "whole": whole, "looks": statistics.median(looks or [0]), "told": share}


def repeated(epochs: int, members: int, turns: int, name: str, number: int) -> Figures:
    """The means of several trainings."""
    found = [trained(epochs, members, name, number * turns + turn) for turn in range(turns)]
    return {figure: statistics.mean(each[figure] for each in found) for figure in found[0]}


def shown(times: Times, epochs: int, members: int) -> str:
    """One row a set: the ratios to training without, how often was looked, and what the record says that it cost."""
    rows = [
        [
            name,
            f"{interval(found['fit']).median * 1e3:.0f}",
            ratio(times, "fit", name, NONE).show(3),
            ratio(times, "whole", name, NONE).show(3),
            f"{statistics.median(found['looks']):.0f}",
            f"{100 * statistics.median(found['told']):.1f}",
        ]
        for name, found in times.items()
    ]
    rounds = len(times[NONE]["whole"])
    who = "one run" if members == 1 else f"a stack of {members} runs"
    what = f"digits, mlp 64-128-128-10, batch 64, {epochs} epochs, {who}"
    title = f"Diagnostics: {what}; {rounds} rounds, at once on one core"
    return table(title, ["", "CPU ms", "training / none", "whole / none", "looks", "told %"], rows)


def report(quick: bool = False) -> str:
    """The tables of this benchmark."""
    epochs = 1 if quick else EPOCHS
    tables = []
    for members, turns in ({1: 1, 2: 1} if quick else TURNS).items():
        for name, rounds in ((STANDARD, ROUNDS), (FULL, FEW)):
            job = functools.partial(repeated, epochs, members, turns if name == STANDARD else 1)
            tables.append(shown(at_once.measured(job, (NONE, name), 1 if quick else rounds), epochs, members))
    job = functools.partial(repeated, 2 if quick else LONG, 1, 1)
    tables.append(shown(at_once.measured(job, (NONE, STANDARD), 1 if quick else LONG_ROUNDS), 2 if quick else LONG, 1))
    return "\n".join(tables)
