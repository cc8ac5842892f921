"""The parameters of a stack that one loss trains, with the optimizers and schedules of its rows."""

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
from harness.training.param_group import GradientSum, Schedule, recorded_optimizer
from harness.training.plan import Plan
from harness.training.resources import is_out_of_memory
from harness.training.vectorized.lifting import RestackDifferently, TrainSeparately
from harness.training.vectorized.optimizer import RowOptimizer
from harness.training.vectorized.regularizer import StackedRegularizer, stack_trees
from harness.training.vectorized.rowwise import NotRowwise, Rowwise
from harness.training.vectorized.sharing import Sharing, probe_sharing
from harness.training.vectorized.stack import Stack

Failure = tuple[BaseException, int]  # the exception of an optimizer, and how many runs the optimizer steps


class ProbedSharings(dict[str, Sharing]):
    """Results of probes, by the settings of an optimizer and the shapes of its parameters."""


class ObservedSharings(dict[str, Sharing]):
    """Sharings of optimizers, by name, whose code behaved otherwise in training than in the probe."""


class StackedGroup:
    """The parameters of a stack that one loss trains.

    Neighbouring rows with equal settings share an optimizer if that is exact; other rows have their own.

    Args:
        name: The group's name in the task.
        names: The parameters of the group.
        stack: The models.
        parts: The components of each run.
        plans: The plan of each run.
        after_step: Regularizers with a hook `after_step`.

    Raises:
        TrainSeparately: If the optimizer of a run cannot be stacked.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        stack: Stack,
        parts: Sequence[RunComponents],
        plans: Sequence[Plan],
        after_step: Sequence[StackedRegularizer],
    ) -> None:
        self.name, self.names = name, list(names)
        self.params = {n: stack.params[n] for n in self.names}
        self.gradients = GradientSum()
        self.sections: list[RowOptimizer] = []
        self.failures: dict[int, Failure] = {}  # by row; such rows are stepped no more
        self._code_states: dict[str, CodeState] = {}  # of plugins' optimizers, by name
        probed = [self._sharing(stack, *run) for run in zip(parts, plans, strict=True)]
        observed = session.state(ObservedSharings)
        sharings = [observed.get(_optimizer_name(p), sharing) for p, sharing in zip(parts, probed, strict=True)]
        if separate := [row for row, sharing in enumerate(sharings) if sharing.by == "run"]:
            name, reason = _optimizer_name(parts[separate[0]]), sharings[separate[0]].why
            raise TrainSeparately(f"optimizer {name}: {reason}", separate)
        refused: set[type] = set()
        start = 0
        while start < stack.size:
            stop = start + 1
            shared = sharings[start].by == "stack"
            while shared and stop < stack.size and _settings(parts[stop]) == _settings(parts[start]):
                stop += 1
            make = functools.partial(self._make, parts[start], plans[start])
            schedule = functools.partial(_schedule, parts[start], plans[start])
            guard = functools.partial(Rowwise, strict=True) if shared and sharings[start].guarded else None
            record = functools.partial(recorded_optimizer, parts[start], plans[start], refused=refused)
            section = RowOptimizer(stack.weights, self.names, start, stop, shared, make, schedule, guard, record)
            section.name = _optimizer_name(parts[start])
            self.sections.append(section)
            start = stop
        self.after_step = [(r, self._initial_state(r)) for r in after_step]

    def _make(self, parts: RunComponents, plan: Plan, leaves: dict[str, nn.Parameter]) -> torch.optim.Optimizer:
        return parts.optimizer(
            params=list(leaves.values()),
            named_params=list(leaves.items()),
            total_steps=plan.total_steps,
            generator=generator(plan.seed, "optimizer", self.name),
        )

    def _sharing(self, stack: Stack, parts: RunComponents, plan: Plan) -> Sharing:
        """Return how the row of a run is stepped: a function of its settings and shapes, not of the other runs.

        Built-in optimizers and those of torch step alike at any learning rate, which schedules change at each step.
        """
        function = REGISTRY.get("optimizer", _optimizer_name(parts))
        if is_plugin(function) and _optimizer_name(parts) not in self._code_states:
            self._code_states[_optimizer_name(parts)] = CodeState(function)
        first = next(iter(self.params.values()))
        shapes = [tuple(p.shape[1:]) for p in self.params.values()]
        settings = {k: v for k, v in parts.values["optimizer"].items() if k != "lr" or is_plugin(function)}
        key = json.dumps([settings, shapes, str(first.dtype), str(first.device)], default=str)
        sharings = session.state(ProbedSharings)
        if key not in sharings:
            make = functools.partial(self._make, parts, plan)
            draws = "generator" in asks(function)  # each run draws from its own seed
            plugin = function if is_plugin(function) else None
            with self._isolated(_optimizer_name(parts)):
                sharing = probe_sharing(stack.weights, self.names, make, plugin, shareable=not draws)
            sharings[key] = sharing
            if sharing.by == "run":  # because of its code, whatever its settings
                session.state(ObservedSharings)[_optimizer_name(parts)] = sharing
        return sharings[key]

    def _isolated(self, name: str) -> AbstractContextManager[None]:
        """Context that restores the process state that a plugin's optimizer changes."""
        return kept(by=f"optimizer {name}") if name in self._code_states else nullcontext()

    def check(self) -> None:
        """Raise RestackDifferently if an optimizer now keeps a state that belongs to the process."""
        for name, code in self._code_states.items():
            if changed := code.changed():
                code.restore()
                sharing = Sharing("run", f"it keeps a state outside of the optimizer: {', '.join(changed)}")
                session.state(ObservedSharings)[name] = sharing
                raise RestackDifferently(f"optimizer {name}: {sharing.why}")

    def _initial_state(self, regularizer: StackedRegularizer) -> Any:
        rows = [{n: p[row].detach() for n, p in self.params.items()} for row in range(len(regularizer.members))]
        return stack_trees([member.init(params) for member, params in zip(regularizer.members, rows, strict=True)])

    def step(self, grads: dict[str, Tensor], fixed: bool = False) -> None:
        """Make one step of every row; an exception of an optimizer is stored in `failures` for the rows it steps.

        Args:
            grads: The gradients by name, `[rows, ...]`.
            fixed: The gradients are these very tensors in later steps, too, which overwrite their numbers.
        """
        if not self.after_step:
            self._step(grads, fixed)
            return
        before = {n: p.detach().clone() for n, p in self.params.items()}
        lrs = [self.lr(row) for section in self.sections for row in range(section.start, section.stop)]
        self._step(grads, fixed)
        params = {n: p.detach() for n, p in self.params.items()}
        first = next(iter(params.values()))
        padding = [lrs[0]] * (len(first) - len(lrs))
        lr = torch.tensor([*lrs, *padding], dtype=first.dtype, device=first.device)
        with torch.no_grad():
            for regularizer, state in self.after_step:
                regularizer.call("after_step", params, before, lr, state)

    def _step(self, grads: dict[str, Tensor], fixed: bool) -> None:
        for section in self.sections:
            if section.start in self.failures:
                continue
            try:
                with self._isolated(section.name):
                    section.step(grads, fixed)
            except NotRowwise as error:
                session.state(ObservedSharings)[section.name] = Sharing("member", str(error))
                raise RestackDifferently(f"optimizer {section.name}: {error}") from error
            except BaseException as error:
                reraise_interrupt(error)
                if is_out_of_memory(error):  # any run may have caused it
                    raise
                rows = range(section.start, section.stop)
                self.failures |= dict.fromkeys(rows, (error, len(rows)))

    def averaged(self, params: dict[str, Tensor], evaluating: Sequence[StackedRegularizer]) -> dict[str, Tensor]:
        """Return the group's parameters as regularizers evaluate them, such as averages."""
        group_params = {n: params[n] for n in self.names}
        for regularizer, state in self.after_step:
            if regularizer in evaluating:
                group_params = regularizer.call("evaluate", group_params, state)
        return group_params

    def lr(self, row: int) -> float:
        """Return the learning rate of a row's next step."""
        return float(self._section_of(row).schedule.lr)

    def train(self, training: bool) -> None:
        """Call `train` or `eval` of the optimizers that have these methods."""
        for section in self.sections:
            switch = getattr(section.optimizer, "train" if training else "eval", None)
            if callable(switch):
                switch()

    def state(self, row: int) -> dict[str, Any]:
        """Return the state of a row for a checkpoint."""
        after = [pytree.tree_map_only(Tensor, lambda t: t[row].clone(), state) for _, state in self.after_step]
        return {"optimizer": self._section_of(row).state(row), "after": after}

    def restore(self, stack: Stack, states: Sequence[dict[str, Any]]) -> None:
        """Continue from the states of all runs."""
        for section in self.sections:
            section.restore([state["optimizer"] for state in states[section.start : section.stop]])
        rows = [*states, *[states[0]] * stack.padding]
        device = next(iter(self.params.values())).device
        self.after_step = [
            (r, pytree.tree_map_only(Tensor, lambda t: t.to(device), stack_trees([row["after"][i] for row in rows])))
            for i, (r, _) in enumerate(self.after_step)
        ]

    def _section_of(self, row: int) -> RowOptimizer:
        return next(s for s in self.sections if s.start <= row < s.stop)

    def keep(self, stack: Stack, runs: Sequence[int], index: Sequence[int]) -> None:
        """Continue with some runs only.

        Args:
            stack: The new stack.
            runs: The rows of these runs in the old stack.
            index: The rows of the new stack in the old one: the runs and the padding.
        """
        self.params = {n: stack.params[n] for n in self.names}
        self.failures = {}
        sections: list[RowOptimizer] = []
        start = 0
        for section in self.sections:
            rows = [row - section.start for row in runs if section.start <= row < section.stop]
            if rows:
                section.move(stack.weights, rows, start)
                sections.append(section)
                start += len(rows)
        self.sections = sections
        self.after_step = [(r, _select_rows(state, list(index))) for r, state in self.after_step]


def _select_rows(state: Any, rows: list[int]) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[rows], state)


def _optimizer_name(parts: RunComponents) -> str:
    return str(parts.values["optimizer"][KEY])


def _settings(parts: RunComponents) -> str:
    return json.dumps([parts.values["optimizer"], parts.values["scheduler"]], default=str)


def _schedule(parts: RunComponents, plan: Plan, optimizer: torch.optim.Optimizer) -> Schedule:
    return Schedule(optimizer, parts.scheduler, plan.total_steps, plan.warmup_steps)
