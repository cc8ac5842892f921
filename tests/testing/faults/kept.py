"""Optimizers that keep an average where code rarely keeps a state: none of them may share a stack, or a process.

Each divides by an average s of the gradient's norms, and differs in where s is: w ← w - lr g / (1 + s).
"""

from __future__ import annotations

import array
import contextvars
import functools
import itertools
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn

import harness

from .company import Group, planted
from .objects import Plain

Update = Callable[[Any, Tensor, Group], None]


def _norm(p: Tensor) -> float:
    return float(p.grad.norm())  # type: ignore[union-attr]


def _step(p: Tensor, group: Group, average: float) -> None:
    p.sub_(p.grad / (1 + average), alpha=group["lr"])  # type: ignore[operator]


class Lived(Plain):
    averages: weakref.WeakKeyDictionary[Any, float] = weakref.WeakKeyDictionary()  # noqa: RUF012

    def update(self, p: Tensor, group: Group) -> None:
        self.averages[self] = 0.9 * self.averages.get(self, 0.0) + 0.1 * _norm(p)
        _step(p, group, self.averages[self])


@planted("run")
@harness.optimizer
def weak_keys(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it by the optimizer, in a dictionary of the class: w ← w - lr g / (1 + s)."""
    return Lived(params, lr)


VARIABLE: contextvars.ContextVar[float] = contextvars.ContextVar("average", default=0.0)


class InContext(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        VARIABLE.set(0.9 * VARIABLE.get() + 0.1 * _norm(p))
        _step(p, group, VARIABLE.get())


@planted("run", "repeats")
@harness.optimizer
def context_variable(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in a context variable: w ← w - lr g / (1 + s)."""
    return InContext(params, lr)


NUMBERS = np.zeros(1)


class InArray(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        NUMBERS[0] = 0.9 * NUMBERS[0] + 0.1 * _norm(p)
        _step(p, group, float(NUMBERS[0]))


@planted("run", "repeats")
@harness.optimizer
def numpy_array(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in an array of the module: w ← w - lr g / (1 + s)."""
    return InArray(params, lr)


def _averaged(value: float, kept: list[float] = [0.0]) -> float:  # noqa: B006  # the fault
    kept[0] = 0.9 * kept[0] + 0.1 * value
    return kept[0]


class InDefault(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, _averaged(_norm(p)))


@planted("run", "repeats")
@harness.optimizer
def default_argument(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in a helper's default argument: w ← w - lr g / (1 + s)."""
    return InDefault(params, lr)


@functools.cache
def _kept() -> list[float]:
    return [0.0]


_kept()  # it is in the cache before a run begins


class InCache(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        kept = _kept()
        kept[0] = 0.9 * kept[0] + 0.1 * _norm(p)
        _step(p, group, kept[0])


@planted("run", "repeats")
@harness.optimizer
def cached_list(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in a list that a cache returns: w ← w - lr g / (1 + s)."""
    return InCache(params, lr)


HELPER = nn.BatchNorm1d(1)


class InBuffers(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        HELPER.running_mean.mul_(0.9).add_(0.1 * _norm(p))  # type: ignore[union-attr]
        _step(p, group, float(HELPER.running_mean))  # type: ignore[arg-type]


@planted("run", "repeats")
@harness.optimizer
def module_buffers(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in a buffer of a module of torch's: w ← w - lr g / (1 + s)."""
    return InBuffers(params, lr)


MEAN = torchmetrics.MeanMetric()


class InMetric(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        MEAN.update(_norm(p))
        _step(p, group, float(MEAN.compute()))


@planted("run", "repeats")
@harness.optimizer
def running_metric(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps the mean in a metric of torchmetrics: w ← w - lr g / (1 + s)."""
    return InMetric(params, lr)


class Slot:
    __slots__ = ("average",)

    def __init__(self) -> None:
        self.average = 0.0


SLOT = Slot()


class InSlot(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        SLOT.average = 0.9 * SLOT.average + 0.1 * _norm(p)
        _step(p, group, SLOT.average)


@planted("run", "repeats")
@harness.optimizer
def object_with_slots(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in an object without a `__dict__`: w ← w - lr g / (1 + s)."""
    return InSlot(params, lr)


def _running() -> Iterator[float]:
    average = 0.0
    while True:
        value = yield average  # type: ignore[misc]
        average = 0.9 * average + 0.1 * value


RUNNING = _running()
next(RUNNING)


class InGenerator(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, RUNNING.send(_norm(p)))  # type: ignore[attr-defined]


@planted("run", "repeats")
@harness.optimizer
def running_generator(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in a generator that runs: w ← w - lr g / (1 + s)."""
    return InGenerator(params, lr)


AROUND = itertools.cycle(i / 7 for i in range(7))


class Around(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, next(AROUND))


@planted("run", "repeats")
@harness.optimizer
def endless_iterator(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Takes s from an iterator of the module: w ← w - lr g / (1 + s)."""
    return Around(params, lr)


BYTES = array.array("d", [0.0])


class InBytes(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        BYTES[0] = 0.9 * BYTES[0] + 0.1 * _norm(p)
        _step(p, group, BYTES[0])


@planted("run", "repeats")
@harness.optimizer
def array_of_bytes(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in an array of Python's: w ← w - lr g / (1 + s)."""
    return InBytes(params, lr)


STATE = np.random.RandomState(0)


class DrawsOldStyle(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, STATE.rand())


@planted("run", "repeats")
@harness.optimizer
def numpys_old_generator(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Draws s from a generator of the module: w ← w - lr g / (1 + s)."""
    return DrawsOldStyle(params, lr)


SPACE = types.SimpleNamespace(average=0.0)


class InNamespace(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        SPACE.average = 0.9 * SPACE.average + 0.1 * _norm(p)
        _step(p, group, SPACE.average)


@planted("run", "repeats")
@harness.optimizer
def simple_namespace(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Keeps it in a namespace: w ← w - lr g / (1 + s)."""
    return InNamespace(params, lr)


class ByGroups(Plain):
    """A parameter of a stack has a row for each member."""

    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, len(self.param_groups) + p.shape[0] / 10 + len(group["params"]) / 10)


@planted("member")
@harness.optimizer
def counts_rows_and_groups(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by how many rows and groups there are: w ← w - lr g / (1 + s)."""
    return ByGroups(params, lr)
