"""Functions of tensors that are recorded in their first calls and replayed from then on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.modeling.regularizer import Regularizer, having
from harness.registry.code_state import COMPONENTS, OPAQUE, CodeState, is_plugin
from harness.system.shared_state import GENERATORS
from harness.training.recorded.recording import Recorder, Recording
from harness.training.recorded.replay import CannotReplay, Program

RECORDED = 3  # calls that are recorded at most; the first one may differ, since it fills caches
_GENERATORS = [name for name in GENERATORS if not name.startswith("torch")]  # a recording sees draws of torch
LASTING = 1 << 40  # calls of a function that is used to the end
TOO_FEW = "too few steps to record one"
LARGE = 1 << 28  # bytes of all tensors of a call, from which the kernels take nearly all of the time


class RecordedFunction:
    """A function that computes the same bits at less cost.

    Its first calls are recorded. If two in a row are one program, all other calls replay it: they call torch's
    operations without the Python code, autograd and vmap around them. Else the function is called as it is, and
    `refusal` has the reason.

    A function can be replayed if it reads tensors, and not numbers from them; if the shapes of its arguments stay the
    same, and tensors that are not arguments stay at their places in memory; and if the state of its Python code does
    not change.

    Args:
        watch: Notes changes of the state of the Python code.
        refusal: The reason why the function is never recorded, if there is one.
    """

    def __init__(self, watch: StateWatch, refusal: str = "") -> None:
        self.watch, self.refusal = watch, refusal
        self.program: Program | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._last: tuple[Recording, Any] | None = None
        self._recorded = 0

    def __call__(self, function: Callable[..., Any], *args: Tensor) -> Any:
        """Compute the function.

        Args:
            function: The function, the same in each call. It is passed, and not kept, since a path that keeps functions
                of its own would be freed late.
            *args: Its arguments.

        Returns:
            Its results, a tree of tensors. The next call overwrites them.
        """
        if self.refusal:
            return function(*args)
        if not self._inputs:
            self._inputs = tuple(arg.clone(memory_format=torch.contiguous_format) for arg in args)
        for own, arg in zip(self._inputs, args, strict=True):
            own.copy_(arg)
        return self._record(function) if self.program is None else self.program()

    def _record(self, function: Callable[..., Any]) -> Any:
        if self.watch.changed():  # since the last recording
            self._last = None
        with Recorder() as recorder:
            results = function(*self._inputs)
        recording, refs = recorder.recording, recorder.refs(results)
        self._recorded += 1
        changed = self.watch.changed()
        difference = changed or self._difference(recording, refs)
        if self._last is not None and not difference:
            try:
                self.program = Program(recording, refs)
            except CannotReplay as error:
                recording.refusal = str(error)
        self._last = None if changed or self.program else (recording, refs)
        if recording.refusal or (self._recorded == RECORDED and self.program is None):
            self.refusal = recording.refusal or difference or self.watch.last or "its results differ between steps"
        return results

    def _difference(self, recording: Recording, refs: Any) -> str:
        """Return why a recording, with references to its results, is not the same program as the last one."""
        if torch.is_autocast_enabled("cpu"):
            recording.refusal = "precision is mixed"
        if (size := sum(recording.sizes.values())) > LARGE:
            recording.refusal = f"its tensors take {size / 1e6:,.0f} MB: a replay would save little time"
        recording.refusal = recording.refusal or self.watch.refusal
        if recording.refusal or self._last is None:
            return recording.refusal
        return self._last[0].difference(recording) or ("" if self._last[1] == refs else "its results differ")


class StateWatch:
    """Notes changes of the state that Python code keeps outside of tensors: attributes, globals, closures, generators.

    Args:
        code: Functions and objects of the code.

    Attributes:
        refusal: The reason why no call may be replayed, whatever is recorded; set by the functions themselves.
        last: The last change that was noted.
    """

    def __init__(self, code: Sequence[object]) -> None:
        self.code = code
        self.refusal = self.last = ""
        self._state: CodeState | None = None
        self._generators: dict[str, Any] = {}

    def changed(self) -> str:
        """Return what has changed since the last call; empty if nothing has, or in the first call."""
        generators = {name: GENERATORS[name].read() for name in _GENERATORS}
        changed = []
        if self._state is not None:
            changed = self._state.changed() + [
                name for name in _GENERATORS if generators[name] != self._generators[name]
            ]
        if changed or self._state is None:
            self._state = CodeState(*self.code, tensors=False, opaque=OPAQUE - COMPONENTS)
        self._generators = generators
        if not changed:
            return ""
        self.last = f"it changes {changed[0]}"
        return self.last


class RecordedFunctions:
    """The recorded functions of a training path, for each form of a batch.

    Args:
        code: The functions and objects whose code they call.
        refusal: The reason why they are never recorded, if there is one.
        worth: The least number of calls that are worth a recording.
    """

    def __init__(self, code: Sequence[object], refusal: str = "", worth: int = 0) -> None:
        self.watch, self.refusal, self.worth = StateWatch(code), refusal, worth
        self._functions: dict[tuple[Any, ...], RecordedFunction] = {}
        self._replayed = False

    def of(self, *form: Any, calls: int = LASTING) -> RecordedFunction:
        """Return the function for batches of a form, such as their size.

        Args:
            *form: The form.
            calls: About how often the function is called in all. Recording takes the time of some calls.
        """
        if form not in self._functions:
            refusal = self.refusal or ("" if calls >= self.worth else TOO_FEW)
            self._functions[form] = RecordedFunction(self.watch, refusal)
        return self._functions[form]

    def refuse(self, reason: str) -> None:
        """Note that the call which is made now cannot be replayed."""
        self.watch.refusal = reason

    def check(self) -> None:
        """Record anew if the state of the Python code has changed; call it where other code of theirs has run."""
        if any(function.program is not None for function in self._functions.values()) and self.watch.changed():
            self.reset()

    def reset(self) -> None:
        """Record anew: tensors that the function reads have another shape or place."""
        self._replayed = self._replayed or not self.plain_because
        self._functions = {}

    @property
    def plain_because(self) -> str:
        """The reason why no call was a replay; empty if one was."""
        functions = self._functions.values()
        if self._replayed or any(function.program is not None for function in functions):
            return ""
        reasons = (function.refusal for function in functions if function.refusal)
        return self.refusal or next(reasons, TOO_FEW)


def refuse_recording(values: Mapping[str, Any], device: torch.device) -> str:
    """Return why the functions of runs with a config are not recorded on a device; empty if they may be."""
    if values["recording"] == "never":
        return "recording=never"
    return "" if device.type == "cpu" else f"steps are recorded on the CPU only, not on {device.type}"


def least_calls(values: Mapping[str, Any], worth: int) -> int:
    """Return the least number of calls to record, where `worth` calls save the time of a recording."""
    return worth if values["recording"] == "auto" else 0


def has_own_hooks(regularizers: list[Regularizer]) -> bool:
    """Return True if plugins' code runs after steps, where it may change what the next step computes."""
    return any(is_plugin(type(regularizer)) for regularizer in having(regularizers, "after_step"))
