"""What diagnostics cost: the same training with the cheap ones, with all of them, and with none."""

from __future__ import annotations

import functools
import itertools
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl

import harness
from benchmarks.measure import Figures, Times, interleave, interval, ratio, table
from benchmarks.single_run import scratch

NONE, STANDARD, FULL = "none", "standard", "full, diagnostic_budget=1"
SETS = {
    NONE: [],
    STANDARD: ["diagnostic=[standard]"],
    FULL: ["diagnostic=[full]", "diagnostic_budget=1"],
}
EPOCHS, MEMBERS = 20, 32
ROUNDS, FEW = 31, 9  # of the cheap ones, whose interval must be narrow, and of all of them
TURNS = {1: 5, MEMBERS: 2}  # so often in a round of the cheap ones, in turn with the other: the mean counts


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


def trained(diagnostics: list[str], seeds: itertools.count[int], epochs: int, members: int) -> Figures:
    """One run, or one stack: seconds that the process computed while it trained, and in all; how often it looked.

    Processor time: what others do on the machine is in it as far as they slow a core down, and not as they take one.
    """
    first = next(seeds) * members
    line = [*diagnostics, f"epochs={epochs}", "trainer=cpu"]
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


def measured(names: tuple[str, ...], epochs: int, rounds: int, members: int, turns: int) -> Times:
    """Interleaved rounds, in one process and one thread."""
    with scratch():
        seeds = itertools.count()
        contestants = {name: functools.partial(trained, SETS[name], seeds, epochs, members) for name in names}
        each = interleave(contestants, rounds * turns)
    return {name: {figure: _means(values, turns) for figure, values in found.items()} for name, found in each.items()}


def _means(values: list[float], turns: int) -> list[float]:
    return [statistics.mean(values[first : first + turns]) for first in range(0, len(values), turns)]


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
    title = f"Diagnostics: digits, mlp 64-128-128-10, batch 64, {epochs} epochs, {who}, {rounds} rounds, one thread"
    return table(title, ["", "CPU ms", "training / none", "whole / none", "looks", "told %"], rows)


def report(quick: bool = False) -> str:
    """The tables of this benchmark."""
    plan = [
        (names, 1 if quick else EPOCHS, 1 if quick else rounds, members, 1 if names[1] == FULL else turns)
        for members, turns in ({1: 1, 2: 1} if quick else TURNS).items()
        for names, rounds in (((NONE, STANDARD), ROUNDS), ((NONE, FULL), FEW))
    ]
    return "\n".join(shown(measured(*given), given[1], given[3]) for given in plan)
