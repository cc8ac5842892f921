"""A single run by harness, with and without diagnostics, and by a hand-written loop, on the same tensors."""

from __future__ import annotations

import itertools
import math
import statistics

from benchmarks.cases import DIGITS, written
from benchmarks.contest import PEERS, contest, ours, peer
from benchmarks.measure import Times, interval, ratio, table
from benchmarks.sweep import TRAINED, check_agreement

OURS, UNWATCHED = "harness", "harness, diagnostic=[]"
LOOP, FUSED = "loop, Adam", "loop, Adam(fused=True)"
EPOCHS = 100


def measured(epochs: int, rounds: int) -> Times:
    """Interleaved rounds. Raises AssertionError if the contestants do not learn the same thing equally well."""
    case = DIGITS.one(epochs)
    with written(case) as work:
        rows = [
            ours(OURS, case, work, run=True),
            ours(UNWATCHED, case, work, "diagnostic=[]", run=True),
            peer(LOOP, f"{PEERS}:loop", case, work),
            peer(FUSED, f"{PEERS}:loop", case, work, fused=True),
        ]
        with contest(rows) as found:
            times = found.measure(rounds)
    if epochs == EPOCHS:
        check_agreement(times, case.close)
    return times


def shown(times: Times, epochs: int) -> str:
    """One row a contestant and figure: milliseconds, microseconds a step, and the ratios."""
    steps = epochs * math.ceil(TRAINED / DIGITS.batch_size)
    rows = []
    for (what, figure), name in itertools.product({"training": "fit_wall", "whole run": "wall"}.items(), times):
        wall, cpu = (interval(times[name][each]) for each in (figure, figure.replace("wall", "cpu")))
        rows.append(
            [
                f"{what}: {name}",
                f"{wall.median:.0f}",
                f"{cpu.median:.0f}",
                f"{wall.median / steps * 1e3:.0f}",
                ratio(times, figure, name, FUSED).show(),
                ratio(times, figure.replace("wall", "cpu"), name, FUSED).show(),
                f"{statistics.mean(times[name]['accuracy']):.3f}",
            ]
        )
    title = f"Single run: {DIGITS.title}, {epochs} epochs, {len(times[OURS]['wall'])} rounds, one thread"
    header = ["", "ms", "CPU ms", "us/step", "/ fused loop", "CPU / fused loop", "accuracy"]
    return table(title, header, rows)


def report(rounds: int, quick: bool) -> tuple[str, Times]:
    """The table of this benchmark, and its figures."""
    epochs = 1 if quick else EPOCHS
    times = measured(epochs, rounds)
    return shown(times, epochs), times
