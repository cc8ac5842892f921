"""Train finished runs again, alone and in stacks of their own, to check that stacking has not changed their results."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from harness.config.settings import typed_settings
from harness.datasets.loading import Loader, usable
from harness.execution.final_measures import measure_at_end
from harness.execution.preparation import Preparation, make_plan
from harness.execution.run_recorder import make_member
from harness.modeling.builder import build
from harness.modeling.weights import read_weights
from harness.results.curves import read_curves
from harness.results.record import Record
from harness.results.run_dir import WEIGHTS
from harness.system.errors import HarnessError, one_line
from harness.training.fit import Run, fit, make_trainer
from harness.training.run_callback import RunCallback
from harness.training.run_state import RunState

ALONE = 1e-4  # largest relative deviation of the training loss after one epoch, in float32


@dataclass(frozen=True)
class Replayed:
    """The result of training a run again. Deviations are relative; None where there is nothing to compare with.

    Args:
        name: The name of the run.
        id: The ID of the run.
        members: The number of runs in its stack.
        padded: The largest deviation of any metric, weight or loss from the same run in a stack of its own; it must
            be 0.
        alone: The deviation of the training loss after one epoch from the same run trained alone.
        ulp: The deviation of the same loss after a change of the initial weights by one unit in the last place. A run
            that amplifies rounding errors shows it here and in `alone`.
        problem: The reason why the run could not be compared.
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
        """True if the run has the results that it would have had by itself."""
        if self.problem or self.padded is None or self.alone is None or self.ulp is None:
            return False
        return self.padded == 0 and self.alone <= max(ALONE, 10 * self.ulp)

    def row(self) -> dict[str, Any]:
        """Return the fields and `fine`, for `--json`."""
        return asdict(self) | {"fine": self.fine}


def sampled(records: Sequence[Record], count: int) -> list[Record]:
    """Return at most `count` of the runs that were trained fused, at equal distances."""
    fused = [r for r in records if r.cohort.get("path") == "fused" and r.status in ("completed", "diverged")]
    step = max(1, math.ceil(len(fused) / count))
    return fused[::step]


def replay(record: Record, preparation: Preparation) -> Replayed:
    """Train a finished run again and compare. A file of the run that cannot be used becomes the result's `problem`."""
    try:
        return _replayed(record, preparation)
    except HarnessError as error:
        problem = str(error)
    except Exception as error:  # the config or the weights may be damaged
        problem = one_line(error)
    return Replayed(record.name, record.id, 0, None, None, None, problem)


def _replayed(record: Record, preparation: Preparation) -> Replayed:
    record = replace(record, config=usable(record.config))
    values, members = record.config, int(record.cohort.get("size", 1))
    if preparation.identity(values) != record.id:
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
    record: Record,
    loader: Loader,
    fused: bool = False,
    until: int | None = None,
    nudge: bool = False,
    enough: Callable[[], bool] | None = None,
) -> RunState:
    """Train a finished run again, with plain steps: recorded ones are verified, too.

    Args:
        record: The record of the run.
        loader: Loads its data.
        fused: Train in a stack of its own instead of alone.
        until: The number of epochs to train; None for all.
        nudge: Change the initial weights by one unit in the last place.
        enough: Called after each epoch; training ends where it returns True.

    Returns:
        The state at the end of the training.
    """
    values = record.config | {"recording": "never"}
    dataset = loader.load(values).dataset
    plan = make_plan(typed_settings(values), dataset, values)
    parts = build(values, dataset, plan.total_steps)
    if nudge:
        with torch.no_grad():
            for p in parts.model.parameters():
                p.copy_(torch.nextafter(p, torch.full_like(p, math.inf)))
    run = Run(parts, plan, dataset, make_member(values, parts))
    if enough is not None:
        run.state.callbacks.append(_EndWhen(run.state, enough))
    fit(make_trainer(values["trainer"], plan, ""), [run], fused, until)
    if until is None:
        measure_at_end(run)
    return run.state


class _EndWhen(RunCallback):
    """Ends a run after the epoch for which a function returns True."""

    def __init__(self, state: RunState, enough: Callable[[], bool]) -> None:
        self.state, self.enough = state, enough

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        self.state.stopped = self.enough()


def _first_loss(state: RunState) -> float:
    return state.history[0]["train/loss"] if state.history else math.nan


def _deviation(record: Record, again: RunState) -> float:
    """Return the largest relative difference of the metrics, curves and weights that both have."""
    pairs = [(value, again.metrics.get(name, math.nan)) for name, value in record.metrics.items()]
    for _, epoch, metric, value in read_curves(record):
        if metric.startswith(("train/", "val/")):
            known = again.history[epoch] if epoch < len(again.history) else {}
            pairs.append((value, known.get(metric, math.nan)))
    largest = max((_relative(a, b) for a, b in pairs), default=0.0)
    if again.weights is not None and record.config["save"] == "last" and (record.folder / WEIGHTS).exists():
        kept = read_weights(record.folder)["state"]
        for name, tensor in again.weights.items():
            scale = float(tensor.abs().max()) or 1.0
            largest = max(largest, float((kept[name] - tensor).abs().max()) / scale if tensor.numel() else 0.0)
    return largest


def _relative(a: float, b: float) -> float:
    """Return |a - b| / max(|a|, |b|); 0 for two equal numbers and for two nan.

    >>> _relative(2.0, 2.0), _relative(math.nan, math.nan), _relative(1.0, 2.0), _relative(0.0, 1.0)
    (0.0, 0.0, 0.5, 1.0)
    """
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    return abs(a - b) / max(abs(a), abs(b))
