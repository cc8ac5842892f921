"""Replay the steps of optimizers that have no kernel, on gradients that are always at the same place in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import has_global_step_hooks, has_step_hooks
from harness.training.recorded.function import LASTING, RECORDED, StateWatch
from harness.training.recorded.fused_optimizer import FORMS, LayOut
from harness.training.recorded.recording import Recorder, Recording
from harness.training.recorded.replay import CannotReplay, Program

WORTH = 30  # steps that are worth a recording; of a step with more operations, as many as these
PROGRAMS = 8  # programs that are made at most, since the settings of an optimizer may change often
Settings = list[dict[str, Any]]  # of each parameter group
Values = dict[tuple[int, str, str], Any]  # numbers that may change: of a group or parameter, by name and form
Place = tuple[int, int]  # of a number: operation and leaf
Copies = Sequence[tuple[Tensor, Tensor]]  # targets and sources
Step = Callable[[Mapping[Tensor, Tensor]], None]  # makes a step with gradients by parameter; it may change them
_PLAIN = (int, float, bool, str, type(None))


class RecordedOptimizer:
    """Makes the steps of an optimizer by replaying recorded ones.

    Two recorded steps in a row must be one program. Their Python code may change no state; a state that is no tensor,
    such as a counter, would stand still. If a learning-rate schedule changes the settings, steps are recorded anew.

    Numbers in the operations of a built-in optimizer may differ from step to step, if they are those that it computes
    from the learning rate, or those that its method `numbers(state, group)` returns for each parameter. This method may
    count in a parameter's state.

    Args:
        optimizer: The optimizer.
        plugin: The optimizer's component, if it is a plugin's.
        steps: About how often it steps. Recording takes the time of some steps.
        refused: Classes of optimizers whose steps were refused; those of a stack share it.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        plugin: Callable[..., Any] | None = None,
        steps: int = LASTING,
        refused: set[type] | None = None,
    ) -> None:
        self.optimizer, self.follows, self.steps = optimizer, plugin is None, steps
        self.watch = None if plugin is None else StateWatch([plugin, *_with_inner(optimizer)])
        self._numbers = getattr(optimizer, "numbers", None) if self.follows else None
        self._refused = set[type]() if refused is None else refused
        switches = any(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))
        replaced = "step" in vars(optimizer)  # by a function of the object, whose state is not watched
        if switches or replaced or not _is_simple(optimizer) or steps < WORTH:
            self._refuse()
        self.reset()

    def _refuse(self) -> None:
        self._refused.add(type(self.optimizer))

    def reset(self) -> None:
        """Forget the memory of parameters and states, which has changed."""
        self._program: Program | None = None
        self._last: tuple[Recording, Settings, Values] | None = None
        self._setters: list[tuple[Any, Callable[[float], None]]] = []  # with the key of the value that each sets
        self._settings: Settings = []  # those that the program has
        self._values: Values = {}  # those that the program cannot follow
        self._recordings = self._programs = self._counted = 0
        self._steady = False  # a step was seen to change the numbers of tensors only
        self._forms: dict[int, tuple[Mapping[str, Tensor], Copies | None]] = {}  # by the identity of the gradients
        self._grads: dict[Tensor, Tensor] = {}

    def step(self, grads: Mapping[str, Tensor], lay_out: LayOut, step: Step) -> bool:
        """Make a step if its steps may be recorded; return True if it was made.

        Args:
            grads: Gradients by name. They are the very same tensors whenever this mapping is used.
            lay_out: Return the gradient of each parameter that has one, in its memory layout, and pairs (target,
                source) of tensors to copy before each step.
            step: Make a step as it is.
        """
        if type(self.optimizer) in self._refused or has_step_hooks(self.optimizer) or has_global_step_hooks():
            return False
        if id(grads) not in self._forms:
            if len(self._forms) == FORMS:  # of functions that were recorded anew
                self._forms = {}
            self._forms[id(grads)] = grads, self._bind(*lay_out(grads))
        _, copies = self._forms[id(grads)]
        if copies is None:
            return False
        for target, source in copies:
            target.copy_(source)
        if self._program is not None:
            self._replay_or_record(step)
        elif self._steady:
            self._record(step)
        else:
            self._try(step)
        return True

    def _bind(self, laid_out: Mapping[Tensor, Tensor], copies: Copies) -> Copies | None:
        """Return the copies that put gradients at the places where recorded steps read them."""
        if not self._grads:
            self._grads = {p: torch.empty_like(g) for p, g in laid_out.items()}
        if self._grads.keys() != laid_out.keys():
            return None
        return [*copies, *((self._grads[p], g) for p, g in laid_out.items())]

    def _replay_or_record(self, step: Step) -> None:
        assert self._program is not None
        settings, (values, states) = self._read_settings(), self._next()
        if settings != self._settings:
            changed = _without_rates(settings) != _without_rates(self._settings)
            values |= _rates(settings)
        else:
            changed = False
        if changed or any(values.get(key, value) != value for key, value in self._values.items()):
            self._program, self._recordings = None, 0
            self._record(step)
            return
        for key, set_number in self._setters:
            if key in values:
                set_number(values[key])
        self._settings = settings
        for p, state in states:
            self.optimizer.state[p].update(state)
        self._program()

    def _try(self, step: Step) -> None:
        """Make a step and see whether it is worth the time of a recording."""
        expected = self._state(self._next()[1])
        step(self._grads)
        self._steady = self._state() == expected
        self._counted += not self._steady
        if self._counted == 2:  # the first one may have made states
            self._refuse()

    def _record(self, step: Step) -> None:
        """Make a step and record it; make a program if it is that of the last step."""
        if self._changed():  # since the last recording
            self._last = None
        values, states = self._next()
        expected, settings = self._state(states), self._read_settings()
        values |= _rates(settings)
        with Recorder() as recorder:
            step(self._grads)
        recording = recorder.recording
        self._recordings += 1
        changed = self._state() != expected or self._changed()
        if not changed and self._last is not None:
            self._try_program(*self._last, recording, settings, values)
        self._last = None if changed else (recording, settings, values)
        failed = self._program is None and (bool(recording.refusal) or self._recordings == RECORDED)
        if failed or self._programs > PROGRAMS or len(recording.operations) > self.steps:
            self._refuse()

    def _changed(self) -> bool:
        """Return True if the Python code of a plugin has changed its state since the last call."""
        return self.watch is not None and bool(self.watch.changed())

    def _try_program(
        self,
        last: Recording,
        last_settings: Settings,
        last_values: Values,
        recording: Recording,
        settings: Settings,
        values: Values,
    ) -> None:
        places: dict[Place, Any] = {}
        if self.follows:
            last, places = _explain(last, recording, last_values, values)
        if _without_rates(settings) != _without_rates(last_settings) or last.difference(recording):
            return
        if not self.follows and settings != last_settings:
            return
        try:
            program = Program(recording, None)
            self._setters = [(key, program.number_setter(*place)) for place, key in places.items()]
        except CannotReplay as error:
            recording.refusal = str(error)
            return
        self._program, self._settings = program, settings
        # A number that has not changed may be anywhere
        self._values = {key: value for key, value in values.items() if last_values.get(key) == value}
        self._programs += 1

    def _read_settings(self) -> Settings:
        return [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]

    def _next(self) -> tuple[Values, list[tuple[Tensor, dict[str, Any]]]]:
        """Return the numbers of the next step, and the states of the parameters after they were computed."""
        values: Values = {}
        states: list[tuple[Tensor, dict[str, Any]]] = []
        if self._numbers is None:
            return values, states
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                if p in self._grads:
                    state = dict(self.optimizer.state[p])
                    numbers = self._numbers(state, group)
                    values |= {(len(states), name, "number"): number for name, number in numbers.items()}
                    states.append((p, state))
        return values, states

    def _state(self, after: Sequence[tuple[Tensor, dict[str, Any]]] = ()) -> list[Any]:
        """Return what recorded steps must not change: the places of all tensors, other states, and the settings.

        Args:
            after: States of parameters that replace theirs.
        """
        params = [p.data_ptr() for group in self.optimizer.param_groups for p in group["params"]]
        named = {**self.optimizer.state, **dict(after)}
        states = {
            (id(p), k): _place(v)
            for p, state in named.items()
            for k, v in (state.items() if isinstance(state, dict) else [("", state)])
        }
        return [params, states, self._read_settings()]


def _place(value: Any) -> Any:
    """Return a number itself, and the place of anything else."""
    return value.data_ptr() if isinstance(value, Tensor) else value if isinstance(value, _PLAIN) else id(value)


def _with_inner(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Return an optimizer and the optimizers that it holds, with their attributes."""
    inner = [value for value in vars(optimizer).values() if isinstance(value, torch.optim.Optimizer)]
    return [optimizer, vars(optimizer), *(part for other in inner for part in _with_inner(other))]


def _is_simple(optimizer: torch.optim.Optimizer) -> bool:
    """Return True if all settings are numbers or tuples of them, which can be compared."""
    values = [v for group in optimizer.param_groups for k, v in group.items() if k not in ("params", "param_names")]
    return all(isinstance(x, _PLAIN) for v in values for x in (v if isinstance(v, tuple) else (v,)))


def _without_rates(settings: Settings) -> Settings:
    return [{k: v for k, v in group.items() if k != "lr"} for group in settings]


def _rates(settings: Settings) -> Values:
    """Return numbers that optimizers compute from the learning rate."""
    values: Values = {}
    for place, group in enumerate(settings):
        lr = group["lr"]
        values |= {(place, "", "lr"): lr, (place, "", "-lr"): -lr}
        for name, value in group.items():
            if isinstance(value, float):
                values |= {(place, name, "lr · s"): lr * value, (place, name, "1 - lr · s"): 1 - lr * value}
    return values


def _explain(
    old: Recording, new: Recording, old_values: Values, new_values: Values
) -> tuple[Recording, dict[Place, Any]]:
    """Explain differences between two recordings by the values that have changed.

    Returns:
        The old recording with the explained numbers of the new one, and the key of the value at each of their places.
    """
    operations, places = list(old.operations), {}
    for place, (a, b) in enumerate(zip(old.operations, new.operations, strict=False)):
        if a == b or len(a.leaves) != len(b.leaves):
            continue
        leaves = list(a.leaves)
        for leaf, (x, y) in enumerate(zip(a.leaves, b.leaves, strict=True)):
            if type(x) is float and type(y) is float and x != y:
                found = (key for key, value in old_values.items() if value == x and new_values.get(key) == y)
                if (key := next(found, None)) is not None:
                    leaves[leaf], places[place, leaf] = y, key
        operations[place] = replace(a, leaves=tuple(leaves))
    return replace(old, operations=operations), places
