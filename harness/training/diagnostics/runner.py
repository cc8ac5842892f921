"""Run diagnostics while a cohort trains, within their time budget."""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import pytree
from harness.modeling.diagnostic import Diagnostic
from harness.system.errors import one_line
from harness.training.diagnostics.budget import Budget
from harness.training.diagnostics.inputs import DiagnosticInputs, Step
from harness.training.diagnostics.quantities import full_tag
from harness.training.diagnostics.view import ModelView, Named, clone
from harness.training.plan import Plan
from harness.training.resources import free_bytes

PROBE_SAMPLES = 128  # the most samples that are measured
COPIES = frozenset({"start", "start_layers", "previous"})  # inputs that need copies of the weights
SMALL, FREE_SHARE = 1 << 26, 4  # copies of up to so many bytes are always made; larger ones up to 1/4 of free memory
ACTIVATIONS = 1 << 22  # the most activations of the probe samples
Values = dict[str, Any]  # NAME/TAG: a float or another value


@dataclass(frozen=True)
class Observation:
    """The values of diagnostics at a step.

    Attributes:
        step: The step, counted from 0.
        names: The diagnostics that were measured.
        rows: The values of each row.
    """

    step: int
    names: tuple[str, ...]
    rows: list[Values]


@dataclass(frozen=True)
class _DueDiagnostics:
    """The diagnostics to measure at a step, the weights before it, and the seconds that the copy took."""

    step: int
    names: list[str]
    previous: Named
    cost: float


class DiagnosticRunner:
    """Run the diagnostics of a training path.

    Args:
        diagnostics: The diagnostics by name, those of steps and those of epochs.
        share: The time that they may take, as a share of the time of training without them.
        plan: The plan of the runs.
        view: The model or the stack that is measured.
        activations: The number of activations of one sample, if known.
        rows: Rows of the stack; None for a single model.
    """

    def __init__(
        self,
        diagnostics: Mapping[str, Diagnostic],
        share: float,
        plan: Plan,
        view: ModelView,
        activations: int | None,
        rows: int | None = None,
    ) -> None:
        self.view, self.plan = view, plan
        self.failed: dict[str, str] = {}
        self.diagnostics = self._affordable({name: d for name, d in diagnostics.items() if d.when == "step"})
        self.epoch_diagnostics = {name: d for name, d in diagnostics.items() if d.when == "epoch"}
        self.budget = Budget(
            {name: d.every for name, d in self.diagnostics.items()}, share, plan.total_steps, plan.epochs
        )
        self.inputs = DiagnosticInputs(view, probe_size(activations), rows)
        self.epochs = 0  # epochs that were measured
        self.observations: list[Observation] = []
        copy_start = any({"start", "start_layers"} & d.asks for d in self.diagnostics.values())
        self._start = clone(view.params()) if copy_start else {}
        self._start_time = time.perf_counter()

    def _affordable(self, diagnostics: dict[str, Diagnostic]) -> dict[str, Diagnostic]:
        """Leave out diagnostics that need copies of the weights if these would take much of the free memory."""
        params = self.view.params().values()
        asks = {name: d.asks & COPIES for name, d in diagnostics.items()}
        copies = {"previous" if ask == "previous" else "start" for needed in asks.values() for ask in needed}
        size = sum(t.nbytes for t in params) * len(copies)
        if size < SMALL or size * FREE_SHARE < free_bytes(next(iter(params)).device.type):
            return diagnostics
        reason = f"it asks for copies of the weights, and {size / 1e6:,.0f} MB of them are too many for what is free"
        self.failed |= {name: reason for name, needed in asks.items() if needed}
        return {name: d for name, d in diagnostics.items() if not asks[name]}

    @property
    def next(self) -> int:
        """The step at which a diagnostic is due next."""
        return self.budget.next

    def begin(self, step: int) -> _DueDiagnostics | None:
        """Prepare the measurement of a step before it is made; return None if no diagnostic is due."""
        names, params = self.budget.due(step, self._elapsed()), self.view.params()
        if not names or not params:  # a model without parameters takes no steps
            return None
        if (device := next(iter(params.values())).device).type == "cuda":
            torch.cuda.synchronize(device)  # pending work of training is no cost of diagnostics
        start = time.perf_counter()
        copy_previous = any("previous" in self.diagnostics[name].asks for name in names)
        previous = clone(params) if copy_previous else {}
        return _DueDiagnostics(step, names, previous, time.perf_counter() - start)

    def end(self, due: _DueDiagnostics, grads: Named, lr: Tensor | float) -> None:
        """Measure the diagnostics that are due after the step. An error drops the diagnostic and not the run.

        Args:
            due: The result of `begin`.
            grads: The gradients of the step.
            lr: The learning rate of the step, a float or `[rows]`.
        """
        start = time.perf_counter()
        step = Step(due.step, due.previous, self._start, grads, lr, self.plan.samples, self.plan.each)
        asks = {ask for name in due.names for ask in self.diagnostics[name].asks}
        inputs, errors = self.inputs.compute(step, asks)
        for name in due.names:
            for ask in sorted(self.diagnostics[name].asks & errors.keys())[:1]:
                self._drop(name, errors[ask])
        remaining = {name: d for name, d in self.diagnostics.items() if name in due.names}
        measurements = self.inputs.measure_all(remaining, inputs)
        for name, error in measurements.errors.items():
            self._drop(name, error)
        values = measurements.values
        self.observations.append(Observation(due.step, tuple(values), to_host(values, self.inputs.rows)))
        costs = {name: measurements.seconds[name] for name in values}
        shared = due.cost + time.perf_counter() - start - sum(costs.values())  # divided among the diagnostics
        self.budget.measured({n: c + shared / len(costs) for n, c in costs.items()}, due.step, self._elapsed())

    def _drop(self, name: str, error: Exception) -> None:
        self.failed[name] = one_line(error)
        del self.diagnostics[name]
        self.budget.drop(name)

    def epoch_due(self, epoch: int) -> bool:
        """Return True if diagnostics measure the end of an epoch."""
        return bool(self.epoch_diagnostics) and self.budget.epoch_due(epoch, self._elapsed())

    def add_epoch_cost(self, seconds: float) -> None:
        """Add the cost of measuring an epoch and of recording the values, for all runs."""
        self.budget.epoch_measured(seconds)
        self.epochs += 1

    def take(self) -> list[Observation]:
        """Return the observations since the last call."""
        observations, self.observations = self.observations, []
        return observations

    def add_write_cost(self, observation: Observation, seconds: float) -> None:
        """Add the cost of recording the values of an observation."""
        self.budget.add_write_cost([name for name in observation.names if name in self.budget.costs], seconds)

    def measure_epoch(self, history: list[dict[str, float]], machine: Mapping[str, float]) -> Values:
        """Measure the end of an epoch of one run.

        Args:
            history: The run's metrics of each epoch.
            machine: The measurements of the machine.

        Returns:
            The values by `NAME/TAG`.
        """
        measured: Values = {}
        inputs = {"history": history, "machine": machine}
        for name, diagnostic in list(self.epoch_diagnostics.items()):
            try:
                values = diagnostic.measure(**{ask: inputs[ask] for ask in diagnostic.asks})
                measured |= {full_tag(name, tag): float(value) for tag, value in values.items()}
            except Exception as error:
                del self.epoch_diagnostics[name]
                self.failed[name] = one_line(error)
        return measured

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return for each diagnostic its last interval, number of measurements and share of the time, or its error."""
        trained = max(self._elapsed() - self.budget.spent, 1e-9)
        rows: dict[str, dict[str, Any]] = {
            name: {"interval": cost.widened, "looks": cost.count, "cost_share": round(cost.spent / trained, 6)}
            for name, cost in self.budget.costs.items()
        }
        share = round(self.budget.epoch_spent / trained / max(1, len(self.epoch_diagnostics)), 6)
        epoch_row = {"interval": self.plan.steps, "looks": self.epochs, "cost_share": share}
        rows |= {name: dict(epoch_row) for name in self.epoch_diagnostics}
        return rows | {name: {"failed": reason} for name, reason in self.failed.items()}

    def keep(self, index: list[int]) -> None:
        """Continue with these rows only."""
        self._start = {name: t[index] for name, t in self._start.items()}
        self.inputs.keep(index)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._start_time


def probe_size(activations: int | None) -> int:
    """Return the number of probe samples.

    It depends on the model alone, so that a run is measured on the same samples in any stack.

    Args:
        activations: The number of activations of one sample, if known.
    """
    return max(16, min(PROBE_SAMPLES, ACTIVATIONS // max(1, activations or 1)))


def to_host(values: Mapping[str, Mapping[str, Any]], rows: int | None) -> list[Values]:
    """Move values to the host, all scalars at once.

    Args:
        values: The values by diagnostic and tag, with a first dimension for the rows of a stack.
        rows: Rows of the stack; None for a single model.

    Returns:
        For each row the values by `NAME/TAG`, scalars as floats.
    """
    flat = {full_tag(name, tag): value for name, by_tag in values.items() for tag, value in by_tag.items()}
    scalars = {tag: torch.as_tensor(value) for tag, value in flat.items() if isinstance(value, (Tensor, float, int))}
    result: list[Values] = [{} for _ in range(rows or 1)]
    if scalars:
        shape = () if rows is None else (rows,)
        device = next((t.device for t in scalars.values() if t.device.type != "cpu"), torch.device("cpu"))
        tensors = [t.detach().to(device, torch.float64).expand(shape) for t in scalars.values()]
        table: Sequence[Any] = torch.stack(tensors).reshape(len(tensors), -1).T.tolist()
        for row, numbers in zip(result, table, strict=True):
            row |= dict(zip(scalars, numbers, strict=True))
    for tag, value in flat.items():
        if tag not in scalars:
            for place, row in enumerate(result):
                row[tag] = pytree.tree_map_only(Tensor, functools.partial(_row_to_host, place=place, rows=rows), value)
    return result


def _row_to_host(t: Tensor, place: int, rows: int | None) -> Tensor:
    return (t if rows is None else t[place]).detach().cpu()
