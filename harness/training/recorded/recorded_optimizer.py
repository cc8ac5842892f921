"""Replay the steps of optimizers that have no kernel, on gradients that are always at the same place in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import has_global_step_hooks, has_step_hooks
from harness.training.recorded.function import RECORDED, StateWatch
from harness.training.recorded.fused_optimizer import FORMS, LayOut
from harness.training.recorded.recording import Recorder, Recording
from harness.training.recorded.replay import CannotReplay, Program

PROGRAMS = 8  # programs that are made at most, since the settings of an optimizer may change often
Settings = list[dict[str, Any]]  # of each parameter group
Place = tuple[int, int]  # of a number: operation and leaf
Rate = tuple[int, str, str]  # a number that follows the learning rate: parameter group, other setting, form
Copies = Sequence[tuple[Tensor, Tensor]]  # targets and sources
Step = Callable[[Mapping[Tensor, Tensor]], None]  # makes a step with gradients by parameter; it may change them
_PLAIN = (int, float, bool, str, type(None))


class RecordedOptimizer:
    """Makes the steps of an optimizer by replaying recorded ones.

    Two recorded steps in a row must be one program. Their Python code may change no state; a state that is no tensor,
    such as a counter, would stand still. If a learning-rate schedule changes the settings, steps are recorded anew. The
    numbers in the operations of a built-in optimizer then follow the learning rate.

    Args:
        optimizer: The optimizer.
        plugin: The optimizer's component, if it is a plugin's.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, plugin: Callable[..., Any] | None = None) -> None:
        self.optimizer, self.follows = optimizer, plugin is None
        self.watch = None if plugin is None else StateWatch([plugin, *_with_inner(optimizer)])
        switches = any(callable(getattr(optimizer, name, None)) for name in ("train", "eval"))
        self._refused = switches or not _is_simple(optimizer)
        self.reset()

    def reset(self) -> None:
        """Forget the memory of parameters and states, which has changed."""
        self._program: Program | None = None
        self._last: tuple[Recording, Settings] | None = None
        self._rates: dict[Place, Rate] | None = None  # None: they are not known
        self._settings: Settings = []  # those that the program has
        self._recordings = self._programs = 0
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
        if self._refused or has_step_hooks(self.optimizer) or has_global_step_hooks():
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
        if self._is_current():
            assert self._program is not None
            self._program()
        else:
            self._record(step)
        return True

    def _bind(self, laid_out: Mapping[Tensor, Tensor], copies: Copies) -> Copies | None:
        """Return the copies that put gradients at the places where recorded steps read them."""
        if not self._grads:
            self._grads = {p: torch.empty_like(g) for p, g in laid_out.items()}
        if self._grads.keys() != laid_out.keys():
            return None
        return [*copies, *((self._grads[p], g) for p, g in laid_out.items())]

    def _is_current(self) -> bool:
        """Return True if the program makes a step with the present settings."""
        if self._program is None:
            return False
        settings = self._read_settings()
        if settings == self._settings:
            return True
        if self._rates is not None and _without_rates(settings) == _without_rates(self._settings):
            values = _rates(settings)
            for place, rate in self._rates.items():
                self._program.set_number(*place, values[rate])
            self._settings = settings
            return True
        self._program, self._recordings = None, 0
        return False

    def _record(self, step: Step) -> None:
        """Make a step and record it; make a program if it is that of the last step."""
        if self._changed():  # since the last recording
            self._last = None
        before = self._state()
        with Recorder() as recorder:
            step(self._grads)
        recording, settings = recorder.recording, self._read_settings()
        self._recordings += 1
        changed = self._changed() or self._state() != before
        if not changed and self._last is not None:
            self._try_program(*self._last, recording, settings)
        self._last = None if changed else (recording, settings)
        failed = self._program is None and (bool(recording.refusal) or self._recordings == RECORDED)
        self._refused = failed or self._programs > PROGRAMS

    def _changed(self) -> bool:
        """Return True if the Python code of a plugin has changed its state since the last call."""
        return self.watch is not None and bool(self.watch.changed())

    def _try_program(self, last: Recording, last_settings: Settings, recording: Recording, settings: Settings) -> None:
        if not (self.follows or settings == last_settings):
            return
        rates: dict[Place, Rate] | None = None
        if settings != last_settings:
            if _without_rates(settings) != _without_rates(last_settings):
                return
            last, rates = _explain(last, recording, _rates(last_settings), _rates(settings))
        if last.difference(recording):
            return
        try:
            program = Program(recording, None)
            for place, rate in (rates or {}).items():
                program.set_number(*place, _rates(settings)[rate])
        except CannotReplay as error:
            recording.refusal = str(error)
            return
        self._program, self._settings, self._rates = program, settings, rates
        self._programs += 1

    def _read_settings(self) -> Settings:
        return [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]

    def _state(self) -> list[Any]:
        """Return what recorded steps must not change: the places of all tensors, other states, and the settings."""
        params = [p.data_ptr() for group in self.optimizer.param_groups for p in group["params"]]
        states = [(k, _place(v)) for state in self.optimizer.state.values() for k, v in state.items()]
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


def _rates(settings: Settings) -> dict[Rate, float]:
    """Return numbers that optimizers compute from the learning rate."""
    values: dict[Rate, float] = {}
    for place, group in enumerate(settings):
        lr = group["lr"]
        values |= {(place, "", "lr"): lr, (place, "", "-lr"): -lr}
        for name, value in group.items():
            if isinstance(value, float):
                values |= {(place, name, "lr · s"): lr * value, (place, name, "1 - lr · s"): 1 - lr * value}
    return values


def _explain(
    old: Recording, new: Recording, old_rates: Mapping[Rate, float], new_rates: Mapping[Rate, float]
) -> tuple[Recording, dict[Place, Rate]]:
    """Explain differences between two recordings by their learning rates.

    Returns:
        The old recording with the numbers of the new one where they follow the learning rate, and these places.
    """
    operations, rates = list(old.operations), {}
    for place, (a, b) in enumerate(zip(old.operations, new.operations, strict=False)):
        if a == b or len(a.leaves) != len(b.leaves):
            continue
        leaves = list(a.leaves)
        for leaf, (x, y) in enumerate(zip(a.leaves, b.leaves, strict=True)):
            if type(x) is float and type(y) is float and x != y:
                found = (rate for rate, value in old_rates.items() if value == x and new_rates.get(rate) == y)
                if (rate := next(found, None)) is not None:
                    leaves[leaf], rates[place, leaf] = y, rate
        operations[place] = replace(a, leaves=tuple(leaves))
    return replace(old, operations=operations), rates
