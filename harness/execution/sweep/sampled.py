"""At the end of a fused sweep with plugins' components, trains one of its runs again in a stack of its own.

A component of harness's own is shown to be exact by its tests. That of a plugin may couple runs in a way that no one
has thought of: one run, the same whenever the sweep is repeated, is compared to the bit with what it was in company.
"""

from __future__ import annotations

import csv
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.execution.preparation import RunSpec
from harness.execution.sweep.verify import trained_again
from harness.registry import catalogue
from harness.registry.kinds import KEY, NONE
from harness.results import environment
from harness.results.curves import FILE as CURVES
from harness.results.record import Record, read, write
from harness.system.errors import one_line
from harness.system.forking import ProcessDied, call_forked
from harness.training.vectorized.lifting import RestackDifferently

SHARE = 0.05  # of a sweep's time is what this may cost
SHORT_S = 5.0  # a sweep of more seconds repeats one epoch, also where that costs more
START_S = 0.1  # of that goes before the first step
WATCHING = ("logger", "executor", "diagnostic", "metric")  # kinds that are no part of a step
PLACE = "sampled"  # in a record's `cohort`


class CompanyWarning(UserWarning):
    """A run is not what it is by itself: another component than harness's own couples the runs of a stack."""


def compare_one(records: Sequence[Record], members: Mapping[str, RunSpec], seconds: float) -> None:
    """Trains one run of a sweep again, and notes in its record how that came out; if it differs, in those of all.

    Args:
        records: the runs that were trained.
        members: the prepared runs by ID.
        seconds: the time that the sweep took.
    """
    clock = Clock(SHARE * seconds)
    fused = [r for r in records if r.cohort.get("path") == "fused" and r.status == "completed" and not r.cached]
    doubtful = [r for r in fused if plugins_used(r.config)]
    if not doubtful:
        return
    chosen = min(doubtful, key=lambda record: record.id)
    if chosen.environment.get("cpu") != environment.describe(members[chosen.id].device).get("cpu"):
        _note([chosen], {"run": chosen.id, "skipped": "it was trained on another machine"})
    elif seconds <= SHORT_S and START_S + epoch_s(chosen) > SHARE * seconds:
        _note([chosen], {"run": chosen.id, "skipped": f"an epoch would cost more than {SHARE:.0%} of the sweep's time"})
    else:
        why, epochs = _difference(chosen, members[chosen.id], clock)
        _note(doubtful if why else [chosen], {"run": chosen.id, "epochs": epochs, "equal": not why})
        if why:
            used = ", ".join(plugins_used(chosen.config))
            warnings.warn(
                f"results of this sweep depend on which runs were stacked: {chosen.name}, trained again in a stack of "
                f"its own, differs ({why}). A component of a plugin couples runs: {used}. Repeat the sweep with "
                "path=alone rerun=true, and run harness check on the plugin",
                CompanyWarning,
                stacklevel=2,
            )


def plugins_used(config: Mapping[str, Any]) -> list[str]:
    """The components of a run, as KIND/NAME, that take part in its steps and are not harness's own."""
    known = catalogue.current()
    found = []
    for kind, node in config.items():
        if kind in WATCHING or not isinstance(node, dict):
            continue
        nodes = [node] if KEY in node else [one for one in node.values() if isinstance(one, dict) and KEY in one]
        found += [
            f"{kind}/{n[KEY]}" for n in nodes if n[KEY] != NONE and known.get(kind, n[KEY])["plugin"] != "harness"
        ]
    return found


def epoch_s(record: Record) -> float:
    """Return how long an epoch of a run takes by itself, at most; infinity where its record does not tell.

    A stack of one takes less than that of many, by a factor that is not known: of small networks, whose steps are
    mostly overhead, some 2 for 32 members.
    """
    epochs, size = int(record.time.get("epochs", 0)), int(record.cohort.get("size", 1))
    if not epochs or not record.time.get("fit_s"):
        return math.inf
    return float(record.time["fit_s"]) / epochs / size**0.25


class Clock:
    """Tells when to end, so that a number of seconds from now is kept: before an epoch that would exceed it."""

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.now, self.last = now, now()
        self.until = self.last + seconds

    def enough(self) -> bool:
        """Return True after an epoch if another one as long would end too late."""
        before, self.last = self.last, self.now()
        return self.last + (self.last - before) > self.until


def _difference(record: Record, member: RunSpec, clock: Clock) -> tuple[str, int]:
    """Train a run again until the clock ends it, and return what differs, or "", and how many epochs were compared."""
    assert member.loader is not None
    try:
        (history,) = call_forked(_history, record, member, clock)
    except ProcessDied as died:
        return str(died), 0
    except Exception as error:
        return one_line(error), 0
    for epoch, name, value in _curves(record):
        again = history[epoch].get(name, math.nan) if epoch < len(history) else value
        if again != value and not (math.isnan(again) and math.isnan(value)):
            return f"{name} of epoch {epoch + 1} is {again!r} and was {value!r}", len(history)
    return "", len(history)


def _history(record: Record, member: RunSpec, clock: Clock) -> list[dict[str, float]]:
    assert member.loader is not None
    bare = replace(record, config=record.config | {"diagnostic": {}})  # they change nothing of a run
    while True:
        try:
            return trained_again(bare, member.loader, fused=True, enough=clock.enough).history
        except RestackDifferently:
            continue


def _curves(record: Record) -> Iterable[tuple[int, str, float]]:
    with open(record.folder / CURVES, newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] == "train/loss" or row["metric"].startswith("val/"):
                yield int(row["epoch"]), row["metric"], float(row["value"])


def _note(records: Sequence[Record], found: dict[str, Any]) -> None:
    for record in records:
        record.cohort[PLACE] = found
        whole = read(record.folder)  # a scheduler keeps no diagnostics
        if whole is not None:
            whole.cohort[PLACE] = found
            write(whole)
