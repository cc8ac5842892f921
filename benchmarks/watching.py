"""What diagnostics cost: the same training with the cheap ones, with all of them, and with none."""

from __future__ import annotations

import functools
import itertools
import statistics
import time

import harness
from benchmarks.measure import Figures, Times, interleave, interval, ratio, table
from benchmarks.single_run import scratch

NONE = "none"
SETS = {
    NONE: [],
    "standard": ["diagnostic=[standard]"],
    "full, diagnostic_budget=1": ["diagnostic=[full]", "diagnostic_budget=1"],
}
EPOCHS, ROUNDS, MEMBERS = 60, 31, 32  # an odd number of rounds: the median is one of them


def trained(diagnostics: list[str], seeds: itertools.count[int], epochs: int, members: int) -> Figures:
    """One run, or one stack: seconds that the process computed, of the whole and of its training; how often it looked.

    Processor time: what others do on the machine is in it as far as they slow a core down, and not as they take one.
    """
    first = next(seeds) * members
    line = [*diagnostics, f"epochs={epochs}", "trainer=cpu"]
    began = time.process_time()
    if members == 1:
        records = [harness.run([*line, f"seed={first}", "study=watching"])]
    else:
        many = ["path=fused", "executor=in_process", "study=watched", f"seed=range({first},{first + members})"]
        records = list(harness.sweep([*line, *many]))
    whole = time.process_time() - began
    found: Figures = {"whole": whole, "fit": sum(record.time["fit_s"] for record in records)}
    for record in records:
        assert record.status == "completed", record.error
        failed = {name: row["failed"] for name, row in record.diagnostics.items() if "failed" in row}
        assert not failed, failed
    looks = [row["looks"] for row in records[0].diagnostics.values() if row.get("looks")]
    shares = [row["cost_share"] for row in records[0].diagnostics.values() if "cost_share" in row]
    return found | {"looks": statistics.median(looks or [0]), "told": sum(shares)}


def measured(epochs: int, rounds: int, members: int) -> Times:
    """Interleaved rounds, in one process and one thread."""
    with scratch():
        seeds = itertools.count()
        return interleave(
            {name: functools.partial(trained, given, seeds, epochs, members) for name, given in SETS.items()}, rounds
        )


def shown(times: Times, epochs: int, members: int) -> str:
    """One row a set: the ratios to training without, how often was looked, and what the record says that it cost."""
    rows = [
        [
            name,
            f"{interval(found['whole']).median * 1e3:.0f}",
            ratio(times, "whole", name, NONE).show(3),
            ratio(times, "fit", name, NONE).show(3),
            f"{statistics.median(found['looks']):.0f}",
            f"{100 * statistics.median(found['told']):.1f}",
        ]
        for name, found in times.items()
    ]
    rounds = len(times[NONE]["whole"])
    who = "one run" if members == 1 else f"a stack of {members} runs"
    title = f"Diagnostics: digits, mlp 64-128-128-10, batch 64, {epochs} epochs, {who}, {rounds} rounds, one thread"
    return table(title, ["", "CPU ms", "CPU / none", "fit_s / none", "looks", "told %"], rows)


def report(quick: bool = False) -> str:
    """The tables of this benchmark."""
    epochs, rounds, many = (1, 1, 2) if quick else (EPOCHS, ROUNDS, MEMBERS)
    plan = [(epochs, 1), (epochs, many)] if quick else [(20, 1), (epochs, 1), (20, many)]
    return "\n".join(shown(measured(epochs, rounds, members), epochs, members) for epochs, members in plan)
