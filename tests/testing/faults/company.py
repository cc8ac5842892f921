"""Optimizers whose steps depend on others: they may not share a stack, and some may not share a process.

Each is right for one run that trains alone in a fresh process. `BY` says how each is to be trained beside others.
"""

from __future__ import annotations

import functools
import itertools
import random
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import harness

from .marks import fault
from .objects import Plain

BY: dict[str, str] = {}  # {optimizer: member (one each) or run (in no stack)}
Group = dict[str, Any]


def _component(update: Callable[[Any, Tensor, Group], None], base: type[Plain] = Plain, **more: Any) -> Any:
    return type(update.__name__, (base,), {"update": update, "__module__": __name__, **more})


def planted(by: str, check: str = "") -> Callable[[Any], Any]:
    """Mark an optimizer with the way it is to be trained, and with the check that must find it, if any."""

    def mark(component: Any) -> Any:
        BY[component.__name__] = by
        return fault(check)(component) if check else component

    return mark


def _step(p: Tensor, group: Group, scale: Any) -> None:
    p.sub_(p.grad / (1 + scale), alpha=group["lr"])  # type: ignore[operator]


class OnSelf(Plain):
    norm_ema = 0.0

    def update(self, p: Tensor, group: Group) -> None:
        self.norm_ema = 0.9 * self.norm_ema + 0.1 * float(p.grad.norm())  # type: ignore[union-attr]
        _step(p, group, self.norm_ema)

    def state_dict(self) -> Any:
        return {**super().state_dict(), "norm_ema": self.norm_ema}

    def load_state_dict(self, state_dict: Any) -> None:
        state = dict(state_dict)
        self.norm_ema = state.pop("norm_ema")
        super().load_state_dict(state)


@planted("member")
@harness.optimizer
def number_on_self(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by an average of the norm that it keeps on itself, and in its state_dict: w ← w - lr g / (1 + s)."""
    return OnSelf(params, lr)


class ById(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        kept = self.__dict__.setdefault("kept", {})
        v = kept.setdefault(id(p), torch.zeros_like(p)).mul_(0.9).add_(p.grad)
        p.sub_(v, alpha=group["lr"])


@planted("member", "resumes")
@harness.optimizer
def dict_by_id(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Momentum by the identity of a parameter: w ← w - lr g / (1 + s)."""
    return ById(params, lr)


@planted("member", "resumes")
@harness.optimizer
def closure_variable(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the largest gradient so far, which a closure keeps: w ← w - lr g / (1 + s)."""
    top = 0.0

    def update(self: Any, p: Tensor, group: Group) -> None:
        nonlocal top
        top = max(top, float(p.grad.abs().max()))  # type: ignore[union-attr]
        _step(p, group, top)

    made: torch.optim.Optimizer = _component(update)(params, lr)
    return made


AVERAGE = 0.0


class InModule(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        global AVERAGE  # noqa: PLW0603  # the fault
        AVERAGE = 0.9 * AVERAGE + 0.1 * float(p.grad.norm())  # type: ignore[union-attr]
        _step(p, group, AVERAGE)


@planted("run", "repeats")
@harness.optimizer
def module_global(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by an average of the norm that the module keeps: w ← w - lr g / (1 + s)."""
    return InModule(params, lr)


class OnClass(Plain):
    average = 0.0

    def update(self, p: Tensor, group: Group) -> None:
        OnClass.average = 0.9 * OnClass.average + 0.1 * float(p.grad.norm())  # type: ignore[union-attr]
        _step(p, group, OnClass.average)


@planted("run", "repeats")
@harness.optimizer
def class_attribute(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by an average of the norm that the class keeps: w ← w - lr g / (1 + s)."""
    return OnClass(params, lr)


class InGroup(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        group["top"] = torch.maximum(group.get("top", torch.zeros(())), p.grad.abs().max())  # type: ignore[union-attr]
        _step(p, group, group["top"])


@planted("member")
@harness.optimizer
def tensor_in_group(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the largest gradient so far, a tensor in the group: w ← w - lr g / (1 + s)."""
    return InGroup(params, lr)


class ByIndex(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        index = next(i for i, q in enumerate(group["params"]) if q is p)
        v = self.state[index].setdefault("v", torch.zeros_like(p)).mul_(0.9).add_(p.grad)  # type: ignore[index]
        p.sub_(v, alpha=group["lr"])


@planted("member", "resumes")
@harness.optimizer
def state_by_index(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Momentum by the place of a parameter: w ← w - lr g / (1 + s)."""
    return ByIndex(params, lr)


BY_SHAPE: dict[Any, Tensor] = {}


class ByShape(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        v = BY_SHAPE.setdefault(tuple(p.shape), torch.zeros_like(p)).mul_(0.9).add_(p.grad)  # type: ignore[arg-type]
        p.sub_(v, alpha=group["lr"])


@planted("run", "repeats")
@harness.optimizer
def state_by_shape(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Momentum by the shape of a parameter, for all runs of the process: w ← w - lr g / (1 + s)."""
    return ByShape(params, lr)


@functools.lru_cache(None)
def _buffer(shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape)


class Cached(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        p.sub_(_buffer(tuple(p.shape)).mul_(0.9).add_(p.grad), alpha=group["lr"])  # type: ignore[arg-type]


@planted("run", "repeats")
@harness.optimizer
def cache_by_shape(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Momentum in buffers of a cache by shape: w ← w - lr g / (1 + s)."""
    return Cached(params, lr)


class WholeNorm(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, p.grad.norm())  # type: ignore[union-attr]


@planted("member")
@harness.optimizer
def norm_of_all(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the norm of a parameter's gradient: w ← w - lr g / (1 + s)."""
    return WholeNorm(params, lr)


class Draws(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, torch.rand(()))


@planted("run", "globals")
@harness.optimizer
def torchs_generator(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by a number that torch's own generator draws: w ← w - lr g / (1 + s)."""
    return Draws(params, lr)


class DrawsElsewhere(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, random.random() + np.random.rand())  # noqa: NPY002  # the fault


@planted("run", "globals")
@harness.optimizer
def pythons_and_numpys(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by numbers that Python and numpy draw: w ← w - lr g / (1 + s)."""
    return DrawsElsewhere(params, lr)


class Counts(Plain):
    steps = itertools.count()

    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, next(self.steps) / 10)


@planted("run", "repeats")
@harness.optimizer
def counter_of_all(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the number of steps that all optimizers of the class have made: w ← w - lr g / (1 + s)."""
    return Counts(params, lr)


class Defaults(Plain):
    shared: Group = {"scale": 0.0}  # noqa: RUF012  # the fault

    def update(self, p: Tensor, group: Group) -> None:
        self.shared["scale"] += float(p.grad.abs().mean())  # type: ignore[union-attr]
        self.defaults["scale"] = self.shared["scale"]
        _step(p, group, self.defaults["scale"])


@planted("run", "repeats")
@harness.optimizer
def defaults_of_all(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by a default that each step raises, for all: w ← w - lr g / (1 + s)."""
    return Defaults(params, lr)


class BySize(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, p.numel() / 100 if self.state[p].setdefault("t", 0) > 2 else 0)
        self.state[p]["t"] += 1


@planted("member")
@harness.optimizer
def decides_by_size(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the number of elements from the third step on: w ← w - lr g / (1 + s)."""
    return BySize(params, lr)


class ByLength(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, float(len(p) > 2))


@planted("member")
@harness.optimizer
def decides_by_rows(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by two where a parameter has more than two rows: w ← w - lr g / (1 + s)."""
    return ByLength(params, lr)


class FirstRow(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        p[0].sub_(p.grad[0], alpha=group["lr"])  # type: ignore[index]
        p[1:].sub_(p.grad[1:], alpha=group["lr"] / 2)  # type: ignore[index]


@planted("member")
@harness.optimizer
def first_row(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Steps the first row of a parameter twice as far: w ← w - lr g / (1 + s)."""
    return FirstRow(params, lr)


class Late(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        t = self.state[p]["t"] = self.state[p].get("t", 0) + 1
        _step(p, group, 0.0 if t < 18 else p.grad.abs().mean())  # type: ignore[union-attr]


@planted("member")
@harness.optimizer
def late_mean(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the mean gradient, after many steps that are element-wise: w ← w - lr g / (1 + s)."""
    return Late(params, lr)


LATE: list[float] = [0.0]


class LateGlobal(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        t = self.state[p]["t"] = self.state[p].get("t", 0) + 1
        if t > 18:
            LATE[0] += float(p.grad.abs().mean())  # type: ignore[union-attr]
        _step(p, group, LATE[0])


@planted("run")
@harness.optimizer
def late_global(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by a sum that the module keeps, after many steps without it: w ← w - lr g / (1 + s)."""
    return LateGlobal(params, lr)


class Replaces(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        p.data = p.data - group["lr"] * p.grad  # type: ignore[operator]


@planted("member")
@harness.optimizer
def replaces_data(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Puts a new tensor in a parameter's place at each step: w ← w - lr g / (1 + s)."""
    return Replaces(params, lr)


class Reads(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        _step(p, group, float(np.abs(p.grad.numpy()).max()))  # type: ignore[union-attr]


@planted("member")
@harness.optimizer
def reads_memory(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the largest gradient, which numpy finds: w ← w - lr g / (1 + s)."""
    return Reads(params, lr)


class Flat(Plain):
    """Keeps all parameters in one vector of its own."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        own = self.param_groups[0]["params"]
        self.vector = torch.cat([p.data.flatten() for p in own])
        for p, part in zip(own, self.vector.split([p.numel() for p in own]), strict=True):
            p.data = part.view_as(p)


@planted("member")
@harness.optimizer
def flat_memory(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Gives all parameters one memory: w ← w - lr g / (1 + s)."""
    return Flat(params, lr)


ALL: weakref.WeakSet[Any] = weakref.WeakSet()


class Registered(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        ALL.add(self)
        _step(p, group, float(len(ALL)))


@planted("run", "company")
@harness.optimizer
def counts_living(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by the number of its kind that live: w ← w - lr g / (1 + s)."""
    return Registered(params, lr)


LOCAL = threading.local()


class InThread(Plain):
    def update(self, p: Tensor, group: Group) -> None:
        LOCAL.average = 0.9 * getattr(LOCAL, "average", 0.0) + 0.1 * float(p.grad.norm())  # type: ignore[union-attr]
        _step(p, group, LOCAL.average)


@planted("run", "repeats")
@harness.optimizer
def thread_local(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides by an average of the norm that the thread keeps: w ← w - lr g / (1 + s)."""
    return InThread(params, lr)


@planted("member")
@harness.optimizer
def step_hook(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Divides the gradients by their mean in a hook: w ← w - lr g / (1 + s)."""
    made = Plain(params, lr)

    def before(optimizer: Any, *_: Any) -> None:
        for p in optimizer.param_groups[0]["params"]:
            p.grad = p.grad / (1 + p.grad.abs().mean())

    made.register_step_pre_hook(before)
    return made
