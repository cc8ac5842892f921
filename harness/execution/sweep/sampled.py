"""At the end of a fused sweep with plugins' components, trains one of its runs again in a stack of its own.

A component of harness's own is shown to be exact by its tests. That of a plugin may couple runs in a way that no one
has thought of: one run, the same whenever the sweep is repeated, is compared to the bit with what it was in company.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.execution.preparation import RunSpec
from harness.execution.sweep.verify import trained_again
from harness.registry import catalogue
from harness.registry.kinds import KEY, NONE
from harness.results import environment
from harness.results.curves import FILE as CURVES
from harness.results.record import Record, write
from harness.system.errors import one_line
from harness.system.forking import ProcessDied, call_forked
from harness.training.vectorized.lifting import RestackDifferently

SHARE = 0.05  # of a sweep's time is what this may cost
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
    fused = [r for r in records if r.cohort.get("path") == "fused" and r.status == "completed" and not r.cached]
    doubtful = [r for r in fused if plugins_used(r.config)]
    if not doubtful:
        return
    chosen = min(doubtful, key=lambda record: record.id)
    epochs = affordable(chosen, seconds)
    if chosen.environment.get("cpu") != environment.describe(members[chosen.id].device).get("cpu"):
        _note([chosen], {"run": chosen.id, "skipped": "it was trained on another machine"})
    elif epochs < 1:
        _note([chosen], {"run": chosen.id, "skipped": f"it would cost more than {SHARE:.0%} of the sweep's time"})
    else:
        why = _difference(chosen, members[chosen.id], epochs)
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


def affordable(record: Record, seconds: float) -> int:
    """Return how many epochs of a run can be repeated in a share of the sweep's time.

    A stack of one takes less than that of many, by a factor that is not known: of small networks, whose steps are
    mostly overhead, some 2 for 32 members.
    """
    epochs, size = int(record.time.get("epochs", 0)), int(record.cohort.get("size", 1))
    if not epochs or not record.time.get("fit_s"):
        return 0
    epoch = float(record.time["fit_s"]) / epochs / size**0.25
    return max(0, min(epochs, int((SHARE * seconds - START_S) / epoch)))


def _difference(record: Record, member: RunSpec, epochs: int) -> str:
    """What differs when a run is trained again for so many epochs; or ""."""
    assert member.loader is not None
    try:
        (history,) = call_forked(_history, record, member, epochs)
    except ProcessDied as died:
        return str(died)
    except Exception as error:
        return one_line(error)
    for epoch, name, value in _curves(record):
        again = history[epoch].get(name, math.nan) if epoch < len(history) else value
        if again != value and not (math.isnan(again) and math.isnan(value)):
            return f"{name} of epoch {epoch + 1} is {again!r} and was {value!r}"
    return ""


def _history(record: Record, member: RunSpec, epochs: int) -> list[dict[str, float]]:
    assert member.loader is not None
    while True:
        try:
            return trained_again(record, member.loader, fused=True, until=epochs).history
        except RestackDifferently:
            continue


def _curves(record: Record) -> Iterable[tuple[int, str, float]]:
    with open(record.folder / CURVES, newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] == "train/loss" or row["metric"].startswith("val/"):
                yield int(row["epoch"]), row["metric"], float(row["value"])


def _note(records: Sequence[Record], found: dict[str, Any]) -> None:
    for record in records:
        record.cohort = record.cohort | {PLACE: found}
        write(record)
