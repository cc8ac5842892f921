"""Trains finished runs again, padded to two and alone, to show what being one of many has changed: nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from harness.config.settings import typed_settings
from harness.datasets.loading import Loader, usable
from harness.execution.final_metrics import measure_at_end
from harness.execution.preparation import Preparation, make_plan
from harness.execution.run_recorder import make_member
from harness.modeling.builder import build
from harness.modeling.weights import WEIGHTS, read_weights
from harness.results.curves import read_curves
from harness.results.record import Record
from harness.system.errors import HarnessError, one_line
from harness.training.fit import Run, fit, make_trainer
from harness.training.run_state import RunState

ALONE = 1e-4  # relative, of float32's training loss after one epoch


@dataclass(frozen=True)
class Replayed:
    """What came of training a run again. Deviations are relative; None where there is nothing to compare with.

    `padded` is the largest of any metric, weight or loss against the same run in a stack of its own, and must be 0.
    `alone` is that of the training loss after one epoch against the plain path, and `ulp` what one unit in the last
    place of the initial weights does to it there: rounding that is amplified by nature shows in both.
    """

    name: str
    id: str
    members: int
    padded: float | None
    alone: float | None
    ulp: float | None
    problem: str = ""

    @property
    def fine(self) -> bool:
        """Whether the run is what it would have been by itself."""
        if self.problem or self.padded is None or self.alone is None or self.ulp is None:
            return False
        return self.padded == 0 and self.alone <= max(ALONE, 10 * self.ulp)

    def row(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self) | {"fine": self.fine}


def sampled(records: Sequence[Record], count: int) -> list[Record]:
    """Runs of a study that were trained fused, evenly over all of them."""
    fused = [r for r in records if r.cohort.get("path") == "fused" and r.status in ("completed", "diverged")]
    step = max(1, math.ceil(len(fused) / count))
    return fused[::step]


def replay(record: Record, preparation: Preparation) -> Replayed:
    """Trains a finished run again. What its files hold that cannot be used is its own problem."""
    try:
        return _replayed(record, preparation)
    except HarnessError as error:
        problem = str(error)
    except Exception as error:  # a config or weights that anyone may have written
        problem = one_line(error)
    return Replayed(record.name, record.id, 0, None, None, None, problem)


def _replayed(record: Record, preparation: Preparation) -> Replayed:
    record = replace(record, config=usable(record.config))
    values, members = record.config, int(record.cohort.get("size", 1))
    seen = preparation.identity(values)
    if seen != record.id:
        return Replayed(record.name, record.id, members, None, None, None, "the sources or the data have changed")
    whole = trained_again(record, preparation.loader, fused=True)
    alone = trained_again(record, preparation.loader, until=1)
    nudged = trained_again(record, preparation.loader, until=1, nudge=True)
    return Replayed(
        record.name,
        record.id,
        members,
        _deviation(record, whole),
        _relative(_first_loss(alone), _first_loss(whole)),
        _relative(_first_loss(alone), _first_loss(nudged)),
    )


def trained_again(
    record: Record, loader: Loader, fused: bool = False, until: int | None = None, nudge: bool = False
) -> RunState:
    """Trains a finished run again, alone or in a stack of its own; what it leaves."""
    values = record.config
    dataset = loader.load(values).dataset
    plan = make_plan(typed_settings(values), dataset, values)
    parts = build(values, dataset, plan.total_steps)
    if nudge:
        with torch.no_grad():
            for p in parts.model.parameters():
                p.copy_(torch.nextafter(p, torch.full_like(p, math.inf)))
    run = Run(parts, plan, dataset, make_member(values, parts))
    fit(make_trainer(values["trainer"], plan, ""), [run], fused, until)
    if until is None:
        measure_at_end(run)
    return run.member


def _first_loss(member: RunState) -> float:
    return member.history[0]["train/loss"] if member.history else math.nan


def _deviation(record: Record, again: RunState) -> float:
    """The largest relative difference of anything that both know."""
    pairs = [(value, again.metrics.get(name, math.nan)) for name, value in record.metrics.items()]
    for _, epoch, metric, value in read_curves(record):
        if metric.startswith(("train/", "val/")):
            known = again.history[epoch] if epoch < len(again.history) else {}
            pairs.append((value, known.get(metric, math.nan)))
    found = max((_relative(a, b) for a, b in pairs), default=0.0)
    if again.weights is not None and record.config["save"] == "last" and (record.folder / WEIGHTS).exists():
        kept = read_weights(record.folder)["state"]
        for name, tensor in again.weights.items():
            scale = float(tensor.abs().max()) or 1.0
            found = max(found, float((kept[name] - tensor).abs().max()) / scale if tensor.numel() else 0.0)
    return found


def _relative(a: float, b: float) -> float:
    """|a / b - 1|; 0 for two of the same, also where they are no numbers.

    >>> _relative(2.0, 2.0), _relative(math.nan, math.nan), _relative(1.0, 2.0), _relative(0.0, 1.0)
    (0.0, 0.0, 0.5, 1.0)
    """
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return abs(a - b) / max(abs(a), abs(b))
