"""Functions of tensors that are recorded in their first calls and replayed from then on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from harness.training.recorded.recording import Recorder, Recording
from harness.training.recorded.replay import CannotReplay, Program

RECORDED = 3  # calls that are recorded at most; the first one may differ, since it fills caches
LARGE = 1 << 29  # bytes of all tensors of a call, from which the kernels take nearly all of the time
MOST_ITEMS = 64  # of a container that is compared before and after a call
_PLAIN = (bool, int, float, str, type(None))


class RecordedFunction:
    """A function that computes the same bits at less cost.

    Its first calls are recorded. If two in a row are one program, all other calls replay it: they call torch's
    operations without the Python code, autograd and vmap around them. Else the function is called as it is, and
    `refusal` has the reason.

    A function can be replayed if it reads tensors, and not numbers from them; if the shapes of its arguments stay the
    same, and tensors that are not arguments stay at their places in memory; and if its results depend on nothing else
    that changes.

    Args:
        owners: Objects whose code it calls. It is not replayed if it changes a number that they have as an attribute.
        refusal: The reason why the function is never recorded, if there is one.
    """

    def __init__(self, owners: Iterable[object] = (), refusal: str = "") -> None:
        self.owners, self.refusal = list(owners), refusal
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
        before = _numbers_of(self.owners)
        with Recorder() as recorder:
            results = function(*self._inputs)
        recording, refs = recorder.recording, recorder.refs(results)
        if changed := [name for name, value in _numbers_of(self.owners).items() if before.get(name) != value]:
            recording.refusal = recording.refusal or f"it changes {changed[0]}"
        if torch.is_autocast_enabled("cpu"):
            recording.refusal = "precision is mixed"
        if (size := sum(recording.sizes.values())) > LARGE:
            recording.refusal = f"its tensors take {size / 1e6:,.0f} MB: a replay would save little time"
        difference = recording.refusal
        if not difference and self._last is not None:
            difference = self._last[0].difference(recording)
            if not difference and self._last[1] == refs:
                try:
                    self.program = Program(recording, refs)
                except CannotReplay as error:
                    recording.refusal = difference = str(error)
        self._last = None if self.program else (recording, refs)
        self._recorded += 1
        if recording.refusal or self._recorded == RECORDED:
            self.refusal = difference or ("" if self.program else "its results differ between steps")
        return results


class RecordedFunctions:
    """The recorded functions of a training path, for each form of a batch.

    Args:
        owners: Objects whose code they call.
        refusal: The reason why they are never recorded, if there is one.
    """

    def __init__(self, owners: Iterable[object], refusal: str = "") -> None:
        self.owners, self.refusal = list(owners), refusal
        self._functions: dict[tuple[Any, ...], RecordedFunction] = {}
        self._replayed = False

    def of(self, *form: Any) -> RecordedFunction:
        """Return the function for batches of a form, such as their size."""
        if form not in self._functions:
            self._functions[form] = RecordedFunction(self.owners, self.refusal)
        return self._functions[form]

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
        return next((function.refusal for function in functions if function.refusal), "too few steps to record one")


def _numbers_of(owners: Iterable[object]) -> dict[str, Any]:
    """Return the attributes of objects, and of their modules, that are plain values."""
    numbers: dict[str, Any] = {}
    for place, owner in enumerate(owners):
        objects = dict(owner.named_modules()) if isinstance(owner, nn.Module) else {"": owner}
        for path, part in objects.items():
            for name, value in getattr(part, "__dict__", {}).items():
                if _is_plain(value):
                    numbers[f"{type(part).__name__}.{name} {place} {path}"] = (
                        value if type(value) in _PLAIN else repr(value)
                    )
    return numbers


def _is_plain(value: Any) -> bool:
    """Return True for a plain value, and for a container of few such values."""
    if isinstance(value, (list, tuple, set, dict)):
        items = [*value, *value.values()] if isinstance(value, dict) else value
        return len(items) <= MOST_ITEMS and all(map(_is_plain, items))
    return isinstance(value, _PLAIN)


def refuse_device(device: torch.device) -> str:
    """Return why functions are not recorded on a device; empty if they may be."""
    return "" if device.type == "cpu" else f"steps are recorded on the CPU only, not on {device.type}"
