"""Diagnostics while a cohort trains: when they are due, what they cost, and what they found."""

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
from harness.training.diagnostics.view import ModelView, Named, copied
from harness.training.memory.heap import free_bytes
from harness.training.plan import Plan

PROBED = 128  # samples that are looked at
COPIES = frozenset({"start", "start_layers", "previous"})
SMALL, SPARED = 1 << 26, 4  # bytes of copies that are always made; more of them are at most this part of what is free
NUMBERS = 1 << 22  # that their activations may have, at most: a function of the model alone, and not of its company
Found = dict[str, Any]  # tag: a number, or what is none


@dataclass(frozen=True)
class Observation:
    """What was found at a step, for each row; `names` are the diagnostics that found it."""

    step: int
    names: tuple[str, ...]
    rows: list[Found]


@dataclass(frozen=True)
class _DueDiagnostics:
    """What is measured of a step, and what it has cost so far."""

    step: int
    names: list[str]
    previous: Named
    cost: float


class DiagnosticRunner:
    """The diagnostics of one path. `rows` is None where the path has one member and no dimension for it."""

    def __init__(
        self,
        diagnostics: Mapping[str, Diagnostic],
        share: float,
        plan: Plan,
        scene: ModelView,
        activations: int | None,
        rows: int | None = None,
    ) -> None:
        self.scene, self.plan = scene, plan
        self.failed: dict[str, str] = {}
        self.diagnostics = self._affordable({name: d for name, d in diagnostics.items() if d.when == "step"})
        self.histories = {name: d for name, d in diagnostics.items() if d.when == "epoch"}
        self.budget = Budget(
            {name: d.every for name, d in self.diagnostics.items()}, share, plan.total_steps, plan.epochs
        )
        self.seeing = DiagnosticInputs(scene, probed(activations), rows)
        self.epochs = 0  # that were measured
        self.found: list[Observation] = []
        wanted = any({"start", "start_layers"} & d.asks for d in self.diagnostics.values())
        self._start = copied(scene.params()) if wanted else {}
        self._began = time.perf_counter()

    def _affordable(self, diagnostics: dict[str, Diagnostic]) -> dict[str, Diagnostic]:
        """Without those that ask for copies of the weights, where these would take much of the memory that is free."""
        params = self.scene.params().values()
        asked = {name: d.asks & COPIES for name, d in diagnostics.items()}
        copies = {"previous" if ask == "previous" else "start" for asks in asked.values() for ask in asks}
        size = sum(t.nbytes for t in params) * len(copies)
        if size < SMALL or size * SPARED < free_bytes(next(iter(params)).device.type):
            return diagnostics
        reason = f"it asks for copies of the weights, and {size / 1e6:,.0f} MB of them are too many for what is free"
        self.failed |= {name: reason for name, asks in asked.items() if asks}
        return {name: d for name, d in diagnostics.items() if not asked[name]}

    @property
    def next(self) -> int:
        """The step at which something is due."""
        return self.budget.next

    def begin(self, step: int) -> _DueDiagnostics | None:
        """Before a step is made; None where nothing can be afforded."""
        names = self.budget.due(step, self._elapsed())
        if not names:
            return None
        if (device := next(iter(self.scene.params().values())).device).type == "cuda":
            torch.cuda.synchronize(device)  # what it has yet to compute is no cost of ours
        began = time.perf_counter()
        wanted = any("previous" in self.diagnostics[name].asks for name in names)
        previous = copied(self.scene.params()) if wanted else {}
        return _DueDiagnostics(step, names, previous, time.perf_counter() - began)

    def end(self, due: _DueDiagnostics, grads: Named, lr: Tensor | float) -> None:
        """After it: measures what is due. What goes wrong is the diagnostic's, and never the run's."""
        began = time.perf_counter()
        step = Step(due.step, due.previous, self._start, grads, lr, self.plan.samples, self.plan.each)
        asked = {name for due_name in due.names for name in self.diagnostics[due_name].asks}
        given, troubles = self.seeing.given(step, asked)
        for name in due.names:
            for ask in sorted(self.diagnostics[name].asks & troubles.keys())[:1]:
                self._drop(name, troubles[ask])
        made = self.seeing.measured({name: d for name, d in self.diagnostics.items() if name in due.names}, given)
        for name, error in made.failed.items():
            self._drop(name, error)
        raw = made.found
        self.found.append(Observation(due.step, tuple(raw), settled(raw, self.seeing.rows)))
        costs = {name: made.seconds[name] for name in raw}
        shared = due.cost + time.perf_counter() - began - sum(costs.values())  # among all that were due
        self.budget.measured({n: c + shared / len(costs) for n, c in costs.items()}, due.step, self._elapsed())

    def _drop(self, name: str, error: Exception) -> None:
        self.failed[name] = one_line(error)
        del self.diagnostics[name]
        self.budget.drop(name)

    def epoch_due(self, epoch: int) -> bool:
        """Whether histories, and the machine, are measured at the end of an epoch."""
        return bool(self.histories) and self.budget.epoch_due(epoch, self._elapsed())

    def epoch_measured(self, seconds: float) -> None:
        """Notes what it cost, for all members, and to write it down."""
        self.budget.epoch_measured(seconds)
        self.epochs += 1

    def take(self) -> list[Observation]:
        """What was found since the last time."""
        found, self.found = self.found, []
        return found

    def wrote(self, look: Observation, seconds: float) -> None:
        """Notes what it cost to write down what was found."""
        self.budget.wrote([name for name in look.names if name in self.budget.costs], seconds)

    def epoch(self, history: list[dict[str, float]], machine: Mapping[str, float]) -> Found:
        """What the diagnostics of histories, and of the machine, find after an epoch of a member."""
        found: Found = {}
        offers = {"history": history, "machine": machine}
        for name, diagnostic in list(self.histories.items()):
            try:
                values = diagnostic.measure(**{ask: offers[ask] for ask in diagnostic.asks})
                found |= {full_tag(name, tag): float(value) for tag, value in values.items()}
            except Exception as error:
                del self.histories[name]
                self.failed[name] = one_line(error)
        return found

    def summary(self) -> dict[str, dict[str, Any]]:
        """For the record: how often each was measured in the end, and the share of the training time that it took."""
        trained = max(self._elapsed() - self.budget.spent, 1e-9)
        rows: dict[str, dict[str, Any]] = {
            name: {"interval": cost.widened, "looks": cost.looks, "cost_share": round(cost.spent / trained, 6)}
            for name, cost in self.budget.costs.items()
        }
        each = round(self.budget.epochs / trained / max(1, len(self.histories)), 6)
        told = {"interval": self.plan.steps, "looks": self.epochs, "cost_share": each}
        rows |= {name: dict(told) for name in self.histories}
        return rows | {name: {"failed": reason} for name, reason in self.failed.items()}

    def keep(self, index: list[int]) -> None:
        """Goes on with these rows of a stack."""
        self._start = {name: t[index] for name, t in self._start.items()}
        self.seeing.keep(index)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began


def probed(activations: int | None) -> int:
    """How many samples are looked at of a model that makes so many numbers of one."""
    return max(16, min(PROBED, NUMBERS // max(1, activations or 1)))


def settled(raw: Mapping[str, Mapping[str, Any]], rows: int | None) -> list[Found]:
    """Numbers for tensors, brought to the host at once, for each row."""
    flat = {full_tag(name, tag): value for name, values in raw.items() for tag, value in values.items()}
    scalars = {tag: torch.as_tensor(value) for tag, value in flat.items() if isinstance(value, (Tensor, float, int))}
    found: list[Found] = [{} for _ in range(rows or 1)]
    if scalars:
        shape = () if rows is None else (rows,)
        device = next((t.device for t in scalars.values() if t.device.type != "cpu"), torch.device("cpu"))
        tensors = [t.detach().to(device, torch.float64).expand(shape) for t in scalars.values()]
        table: Sequence[Any] = torch.stack(tensors).reshape(len(tensors), -1).T.tolist()
        for row, values in zip(found, table, strict=True):
            row |= dict(zip(scalars, values, strict=True))
    for tag, value in flat.items():
        if tag not in scalars:
            for place, row in enumerate(found):
                row[tag] = pytree.tree_map_only(Tensor, functools.partial(_host, place=place, rows=rows), value)
    return found


def _host(t: Tensor, place: int, rows: int | None) -> Tensor:
    return (t if rows is None else t[place]).detach().cpu()
