"""Probe how an optimizer can step the rows of a stack: one for several rows, one for each row, or not in a stack.

One optimizer may step several rows if the steps of a row do not depend on the other rows: in every probed step each
operation is element-wise and each state is in `state[p]` (`rowwise.py`), and the weights of a row have the same bits
with any other rows. Each row has its own optimizer if an optimizer keeps its state to itself. A run is not stacked if
its optimizer keeps a state that belongs to the process.
"""

from __future__ import annotations

import functools
import math
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer

from harness._compat.torch import has_step_hooks
from harness.registry.code_state import CodeState
from harness.system.errors import reraise_interrupt
from harness.training.vectorized.optimizer import MakeOptimizer, RowOptimizer
from harness.training.vectorized.rowwise import NotRowwise, Rowwise
from harness.training.vectorized.stack import Weights

SMALL_STEPS, FULL_STEPS = 14, 2  # probed steps of parameters of a few elements, and of the run's own shapes
REMOVALS = {2: 1, 7: 0}  # step: the row that is removed from the probed stack then


@dataclass(frozen=True)
class Sharing:
    """The way in which the rows of a stack are stepped.

    Attributes:
        by: `stack`: one optimizer for several rows; `member`: one for each row; `run`: in no stack.
        why: The reason why rows do not share more.
        guarded: Check every step with `Rowwise`.
    """

    by: Literal["stack", "member", "run"]
    why: str = ""
    guarded: bool = False


def probe_sharing(
    weights: Weights,
    names: Sequence[str],
    make: MakeOptimizer,
    function: Callable[..., Any] | None = None,
    shareable: bool = True,
) -> Sharing:
    """Probe how an optimizer can step a stack.

    Args:
        weights: The weights of the stack, of which the shapes are used.
        names: The parameters that the optimizer steps.
        make: Make the optimizer from its parameters by name.
        function: The component behind `make`; None for one of harness's own.
        shareable: False if each row needs its own optimizer, as when it draws from the run's seed.

    Returns:
        The way in which rows are stepped.
    """
    small = weights.shrunk()
    state = None if function is None else CodeState(function)
    generators = _Generators()
    try:
        with _quiet():
            trusted = _is_trusted(make(_leaves(small, names)))
            why = "" if trusted and state is None else _coupling_reason(small, names, make, state, generators)
            if why:
                return Sharing("run", why)
            if not shareable:
                return Sharing("member", "it draws from each run's own seed")
            why = _mixing_reason(small, names, make, SMALL_STEPS, not trusted)
            why = why or _mixing_reason(weights, names, make, FULL_STEPS, not trusted)
    finally:
        generators.restore()
        if state is not None:
            state.restore()
    return Sharing("member", why) if why else Sharing("stack", guarded=not trusted)


def _leaves(weights: Weights, names: Sequence[str]) -> dict[str, torch.nn.Parameter]:
    return {name: torch.nn.Parameter(weights.storage[name][:1].clone()) for name in names}


def _is_trusted(optimizer: Optimizer) -> bool:
    """Return True if the code is torch's or harness's own: it does not change its behaviour after the probed steps."""
    known = type(optimizer).__module__.startswith(("torch.optim.", "harness_components.", "harness."))
    return known and not has_step_hooks(optimizer) and "step" not in vars(optimizer)


def _mixing_reason(weights: Weights, names: Sequence[str], make: MakeOptimizer, steps: int, strict: bool) -> str:
    """Return why one optimizer of several rows differs from one optimizer for each row; empty if it does not."""
    draw = torch.Generator().manual_seed(0)
    stacked = weights.random_like(3, draw)
    single, plain = stacked.select([0, 1, 2]), stacked.select([0, 1, 2])
    rows = [0, 1, 2]
    try:
        guard = functools.partial(Rowwise, strict=strict)
        shared = RowOptimizer(stacked, names, 0, 3, True, make, _no_schedule, guard)
        of_storage = [RowOptimizer(single, names, k, k + 1, True, make, _no_schedule) for k in range(3)]
        of_params = [RowOptimizer(plain, names, k, k + 1, False, make, _no_schedule) for k in range(3)]
        for t in range(steps):
            if t in REMOVALS:
                removed = rows.index(REMOVALS[t])
                rest = [i for i in range(len(rows)) if i != removed]
                stacked, rows = stacked.select(rest), [rows[i] for i in rest]
                shared.move(stacked, rest, 0)
            grads = {n: _gradient(single.params[n], t, steps, draw) for n in names}
            shared.step({n: g[rows] for n, g in grads.items()})
            for k in rows:
                of_storage[k].step(grads)
                of_params[k].step(grads)
            for i, k in enumerate(rows):
                if not all(_equal(stacked.params[n][i], single.params[n][k]) for n in names):
                    return "a member's steps differ by some bits when others are stepped beside it"
                if not all(_close(stacked.params[n][i], plain.params[n][k]) for n in names):
                    return "over a stack it does not step a member as it steps the member's own parameters"
    except NotRowwise as error:
        return str(error)
    except BaseException as error:
        reraise_interrupt(error)
        return f"it raises {type(error).__name__} over a stack"
    return ""


def _coupling_reason(
    weights: Weights, names: Sequence[str], make: MakeOptimizer, state: CodeState | None, generators: _Generators
) -> str:
    """Return why one optimizer for each row differs from one in a fresh process; empty if it does not."""
    draw = torch.Generator().manual_seed(1)
    start = weights.random_like(4, draw)
    grads = [{n: _gradient(start.params[n], t, SMALL_STEPS, draw) for n in names} for t in range(SMALL_STEPS)]

    def train(order: Sequence[int]) -> Weights:
        trained = start.select([0, 1, 2, 3])
        optimizers = {k: RowOptimizer(trained, names, k, k + 1, False, make, _no_schedule) for k in order}
        for g in grads:
            for k in order:
                optimizers[k].step(g)
        if state is not None:  # while the optimizers live: a registry of them may be weak
            changed.extend(state.changed())
        return trained

    changed: list[str] = []
    try:
        first, again, with_others = train([1]), train([1]), train([3, 0, 1, 2])
    except BaseException as error:
        reraise_interrupt(error)
        return ""  # the run fails by itself and records the error
    if changed:
        return f"it keeps a state outside of the optimizer: {', '.join(dict.fromkeys(changed))}"
    if generators.used:
        return "it draws from a generator that all runs of the process share"
    if not all(_equal(a.params[n][1], first.params[n][1]) for a in (again, with_others) for n in names):
        return "its steps depend on what other optimizers of the process have done"
    return ""


def _gradient(like: Tensor, t: int, steps: int, draw: torch.Generator) -> Tensor:
    """Return gradients of the rows with different scales: one is zero at a step, and the last becomes nan."""
    scale = torch.tensor([1e-3, 1.0, 1e3, 30.0][: len(like)]).view(-1, *[1] * (like.ndim - 1))
    g = (torch.randn(like.shape, generator=draw) * scale * (1 + t)).to(like.device, like.dtype)
    if t == 1:
        g[0] = 0
    if t == max(1, steps - 4):
        g[2] = math.nan
    return g


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=1e-7, equal_nan=True)


class _Generators:
    """The state of the random generators that all runs of a process share."""

    def __init__(self) -> None:
        self.state: Any = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002  # shared

    @property
    def used(self) -> bool:
        """Return True if a generator has been used since."""
        torch_state, numpy_state, python_state = self.state
        now: Any = np.random.get_state()  # noqa: NPY002
        numpy_used = now[2] != numpy_state[2] or not np.array_equal(now[1], numpy_state[1])
        return numpy_used or random.getstate() != python_state or not torch.equal(torch.get_rng_state(), torch_state)

    def restore(self) -> None:
        """Restore the state."""
        torch.set_rng_state(self.state[0])
        np.random.set_state(self.state[1])  # noqa: NPY002
        random.setstate(self.state[2])


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _NoSchedule:
    def step(self) -> None:
        """Leave the learning rate as it is."""


def _no_schedule(_: Any) -> Any:
    return _NoSchedule()
