"""The parameters of a stack that one loss trains, with the optimizers and schedules of its members."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from harness._compat.torch import pytree
from harness.config.seeds import generator
from harness.modeling.builder import RunComponents
from harness.registry.code_state import CodeState, is_plugin
from harness.registry.component import asks
from harness.registry.kinds import KEY
from harness.registry.registry import REGISTRY
from harness.system import session
from harness.system.errors import reraise_interrupt
from harness.system.process_state import kept
from harness.training.gradients import Gradients
from harness.training.memory.heap import out_of_memory
from harness.training.plan import Plan
from harness.training.schedule import Schedule
from harness.training.vectorized.lifting import RestackDifferently, TrainSeparately
from harness.training.vectorized.optimizer import RowOptimizer
from harness.training.vectorized.regularizer import StackedRegularizer, stack_trees
from harness.training.vectorized.rowwise import NotRowwise, Rowwise
from harness.training.vectorized.sharing import Sharing, sharing
from harness.training.vectorized.stack import Stack

Failure = tuple[BaseException, int]  # what an optimizer raised, and how many members it steps


class ProbedSharings(dict[str, Sharing]):
    """What the probe found of optimizers, by settings and shapes."""


class LateSharings(dict[str, Sharing]):
    """What was found of an optimizer's code, by its name, in steps that the probe did not make."""


class StackedGroup:
    """Members lie in their cohort's order; neighbours of equal settings share an optimizer where that is exact."""

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        stack: Stack,
        parts: Sequence[RunComponents],
        plans: Sequence[Plan],
        after: Sequence[StackedRegularizer],
    ) -> None:
        self.name, self.names = name, list(names)
        self.params = {n: stack.params[n] for n in self.names}
        self.gradients = Gradients()
        self.sections: list[RowOptimizer] = []
        self.failures: dict[int, Failure] = {}  # by row; such rows are stepped no more
        self._codes: dict[str, CodeState] = {}  # of plugins' optimizers, by name
        found = [self._sharing(stack, *own) for own in zip(parts, plans, strict=True)]
        late = session.state(LateSharings)
        found = [late.get(_name(own), one) for own, one in zip(parts, found, strict=True)]
        if alone := [row for row, one in enumerate(found) if one.by == "run"]:
            raise TrainSeparately(f"optimizer {_name(parts[alone[0]])}: {found[alone[0]].why}", alone)
        start = 0
        while start < stack.size:
            stop = start + 1
            shared = found[start].by == "stack"
            while shared and stop < stack.size and _settings(parts[stop]) == _settings(parts[start]):
                stop += 1
            make = functools.partial(self._make, parts[start], plans[start])
            schedule = functools.partial(_schedule, parts[start], plans[start])
            watch = functools.partial(Rowwise, strict=True) if shared and found[start].guarded else None
            rows = RowOptimizer(stack.weights, self.names, start, stop, shared, make, schedule, watch)
            rows.name = _name(parts[start])
            self.sections.append(rows)
            start = stop
        self.after = [(r, self._state(r)) for r in after]

    def _make(self, parts: RunComponents, plan: Plan, leaves: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
        return parts.optimizer(
            params=list(leaves.values()),
            named_params=list(leaves.items()),
            total_steps=plan.total_steps,
            generator=generator(plan.seed, "optimizer", self.name),
        )

    def _sharing(self, stack: Stack, parts: RunComponents, plan: Plan) -> Sharing:
        """How this member is stepped: a function of its settings and shapes, and never of its company."""
        function = REGISTRY.get("optimizer", _name(parts))
        if is_plugin(function) and _name(parts) not in self._codes:
            self._codes[_name(parts)] = CodeState(function)
        first = next(iter(self.params.values()))
        shapes = [tuple(p.shape[1:]) for p in self.params.values()]
        key = json.dumps([parts.values["optimizer"], shapes, str(first.dtype), str(first.device)], default=str)
        sharings = session.state(ProbedSharings)
        if key not in sharings:
            make = functools.partial(self._make, parts, plan)
            drawing = "generator" in asks(function)  # each member from its own seed
            with self._guarded(_name(parts)):
                found = sharing(stack.weights, self.names, make, function if is_plugin(function) else None, not drawing)
            sharings[key] = found
            if found.by == "run":  # so it is by its code, whatever its settings
                session.state(LateSharings)[_name(parts)] = found
        return sharings[key]

    def _guarded(self, name: str) -> AbstractContextManager[None]:
        """Inside, what a plugin's optimizer changes in the process is put back before its neighbour is stepped."""
        return kept(by=f"optimizer {name}") if name in self._codes else nullcontext()

    def check(self) -> None:
        """Raises Again where an optimizer has come to keep a state that belongs to the process."""
        for name, code in self._codes.items():
            if changed := code.changed():
                code.restore()
                late = Sharing("run", f"it keeps a state outside of the optimizer: {', '.join(changed)}")
                session.state(LateSharings)[name] = late
                raise RestackDifferently(f"optimizer {name}: {late.why}")

    def _state(self, regularizer: StackedRegularizer) -> Any:
        own = [{n: p[row].detach() for n, p in self.params.items()} for row in range(len(regularizer.members))]
        return stack_trees([one.init(params) for one, params in zip(regularizer.members, own, strict=True)])

    def add(self, grads: tuple[Tensor | None, ...]) -> None:
        """Adds a batch's gradients to those of the step."""
        self.gradients.add(grads)

    def take(self) -> dict[str, Tensor]:
        """The step's gradients by name."""
        return self.gradients.take(self.names)

    def step(self, grads: dict[str, Tensor]) -> None:
        """One step of every member. What an optimizer or a schedule raises is noted for the members that it steps."""
        if not self.after:
            self._step(grads)
            return
        before = {n: p.detach().clone() for n, p in self.params.items()}
        rates = [self.lr(row) for section in self.sections for row in range(section.start, section.stop)]
        self._step(grads)
        params = {n: p.detach() for n, p in self.params.items()}
        first = next(iter(params.values()))
        spare = [rates[0]] * (len(first) - len(rates))
        lr = torch.tensor([*rates, *spare], dtype=first.dtype, device=first.device)
        with torch.no_grad():
            for regularizer, state in self.after:
                regularizer.call("after_step", params, before, lr, state)

    def _step(self, grads: dict[str, Tensor]) -> None:
        for section in self.sections:
            if section.start in self.failures:
                continue
            try:
                with self._guarded(section.name):
                    section.step(grads)
            except NotRowwise as error:
                session.state(LateSharings)[section.name] = Sharing("member", str(error))
                raise RestackDifferently(f"optimizer {section.name}: {error}") from error
            except BaseException as error:
                reraise_interrupt(error)
                if out_of_memory(error):  # anyone's fault
                    raise
                rows = range(section.start, section.stop)
                self.failures |= dict.fromkeys(rows, (error, len(rows)))

    def averaged(self, params: dict[str, Tensor], evaluating: Sequence[StackedRegularizer]) -> dict[str, Tensor]:
        """The group's parameters as regularizers want them evaluated."""
        own = {n: params[n] for n in self.names}
        for regularizer, state in self.after:
            if regularizer in evaluating:
                own = regularizer.call("evaluate", own, state)
        return own

    def lr(self, row: int) -> float:
        """The learning rate of a member's next step."""
        return float(self._section(row).schedule.lr)

    def train(self, on: bool) -> None:
        """Sets those optimizers that tell training from evaluation."""
        for section in self.sections:
            switch = getattr(section.optimizer, "train" if on else "eval", None)
            if callable(switch):
                switch()

    def state(self, row: int) -> dict[str, Any]:
        """What one member needs to go on."""
        after = [pytree.tree_map_only(Tensor, lambda t: t[row].clone(), state) for _, state in self.after]
        return {"optimizer": self._section(row).state(row), "after": after}

    def restore(self, stack: Stack, members: Sequence[dict[str, Any]]) -> None:
        """Goes on from the states of all members."""
        for section in self.sections:
            section.restore([m["optimizer"] for m in members[section.start : section.stop]])
        rows = [*members, *[members[0]] * stack.spare]
        device = next(iter(self.params.values())).device
        self.after = [
            (r, pytree.tree_map_only(Tensor, lambda t: t.to(device), stack_trees([row["after"][i] for row in rows])))
            for i, (r, _) in enumerate(self.after)
        ]

    def _section(self, row: int) -> RowOptimizer:
        return next(s for s in self.sections if s.start <= row < s.stop)

    def keep(self, stack: Stack, members: Sequence[int], index: Sequence[int]) -> None:
        """Goes on with some members (and the spare rows: `index` is both)."""
        self.params = {n: stack.params[n] for n in self.names}
        self.failures = {}
        kept: list[RowOptimizer] = []
        start = 0
        for section in self.sections:
            mine = [m - section.start for m in members if section.start <= m < section.stop]
            if mine:
                section.move(stack.weights, mine, start)
                kept.append(section)
                start += len(mine)
        self.sections = kept
        rows = list(index)
        self.after = [(r, _indexed(state, rows)) for r, state in self.after]


def _indexed(state: Any, rows: list[int]) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[rows], state)


def _name(parts: RunComponents) -> str:
    return str(parts.values["optimizer"][KEY])


def _settings(parts: RunComponents) -> str:
    return json.dumps([parts.values["optimizer"], parts.values["scheduler"]], default=str)


def _schedule(parts: RunComponents, plan: Plan, optimizer: torch.optim.Optimizer) -> Schedule:
    return Schedule(optimizer, parts.scheduler, plan.total_steps, plan.warmup_steps)
