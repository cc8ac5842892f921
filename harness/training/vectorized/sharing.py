"""Decides how an optimizer steps the members of a stack: one for all, one for each, or in no stack.

One for all only where it is shown that a member's steps do not depend on company: on every probed step each operation
is element-wise and each state lies in `state[p]` (rowwise.py), and a member's weights are equal to the bit whoever is
stepped beside it. One for each where the optimizer's state is its own; in no stack where it belongs to the process.
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
from harness.training.vectorized.optimizer import Make, RowOptimizer
from harness.training.vectorized.rowwise import NotRowwise, Rowwise
from harness.training.vectorized.stack import Weights

STEPS, FEW = 14, 2  # probed steps of small parameters, and of the run's own
LEAVES = {2: 1, 7: 0}  # step: the member that leaves the probed stack then


@dataclass(frozen=True)
class Sharing:
    """How members are stepped, why not in a closer way, and whether their steps are to be watched."""

    by: Literal["stack", "member", "run"]
    why: str = ""
    guarded: bool = False


def sharing(
    weights: Weights,
    names: Sequence[str],
    make: Make,
    function: Callable[..., Any] | None = None,
    shareable: bool = True,
) -> Sharing:
    """Probes an optimizer.

    Args:
        weights: the stack's, of which the shapes are used.
        names: the parameters that it steps.
        make: makes an optimizer for leaves.
        function: the component behind `make`; None for one of harness's own.
        shareable: False if each member is known to need its own, as where it draws from the member's seed.
    """
    small = weights.small()
    state = None if function is None else CodeState(function)
    generators = _Generators()
    try:
        with _quiet():
            own = _trusted(make(_leaves(small, names)))
            why = "" if own and state is None else _coupled(small, names, make, state, generators)
            if why:
                return Sharing("run", why)
            if not shareable:
                return Sharing("member", "it draws from each run's own seed")
            why = _mixes(small, names, make, STEPS, not own) or _mixes(weights, names, make, FEW, not own)
    finally:
        generators.restore()
        if state is not None:
            state.restore()
    return Sharing("member", why) if why else Sharing("stack", guarded=not own)


def _leaves(weights: Weights, names: Sequence[str]) -> dict[str, torch.nn.Parameter]:
    return {name: torch.nn.Parameter(weights.storage[name][:1].clone()) for name in names}


def _trusted(optimizer: Optimizer) -> bool:
    """Whether an optimizer's code is torch's or harness's own, which takes no other way after the probed steps."""
    module = type(optimizer).__module__
    ours = module.startswith(("torch.optim.", "harness_components.", "harness."))
    return ours and not has_step_hooks(optimizer) and "step" not in vars(optimizer)


def _mixes(weights: Weights, names: Sequence[str], make: Make, steps: int, strict: bool) -> str:
    """Why one optimizer over a stack's storage does not do to each member what it does to it alone; or ""."""
    draw = torch.Generator().manual_seed(0)
    probe = weights.random(3, draw)
    alone, plain = probe.kept([0, 1, 2]), probe.kept([0, 1, 2])
    members = [0, 1, 2]
    try:
        watch = functools.partial(Rowwise, strict=strict)
        together = RowOptimizer(probe, names, 0, 3, True, make, _no_schedule, watch)
        single = [RowOptimizer(alone, names, k, k + 1, True, make, _no_schedule) for k in range(3)]
        apart = [RowOptimizer(plain, names, k, k + 1, False, make, _no_schedule) for k in range(3)]
        for t in range(steps):
            if t in LEAVES:
                place = members.index(LEAVES[t])
                rest = [i for i in range(len(members)) if i != place]
                probe, members = probe.kept(rest), [members[i] for i in rest]
                together.move(probe, rest, 0)
            grads = {n: _gradient(alone.params[n], t, steps, draw) for n in names}
            together.step({n: g[members] for n, g in grads.items()})
            for k in members:
                single[k].step(grads)
                apart[k].step(grads)
            for i, k in enumerate(members):
                if not all(_equal(probe.params[n][i], alone.params[n][k]) for n in names):
                    return "a member's steps differ by some bits when others are stepped beside it"
                if not all(_close(probe.params[n][i], plain.params[n][k]) for n in names):
                    return "over a stack it does not step a member as it steps the member's own parameters"
    except NotRowwise as error:
        return str(error)
    except BaseException as error:
        reraise_interrupt(error)
        return f"it raises {type(error).__name__} over a stack"
    return ""


def _coupled(
    weights: Weights, names: Sequence[str], make: Make, state: CodeState | None, generators: _Generators
) -> str:
    """Why an optimizer of its own for each member would not do what it does alone in a fresh process; or ""."""
    draw = torch.Generator().manual_seed(1)
    start = weights.random(4, draw)
    grads = [{n: _gradient(start.params[n], t, STEPS, draw) for n in names} for t in range(STEPS)]

    def trained(order: Sequence[int]) -> Weights:
        own = start.kept([0, 1, 2, 3])
        rows = {k: RowOptimizer(own, names, k, k + 1, False, make, _no_schedule) for k in order}
        for g in grads:
            for k in order:
                rows[k].step(g)
        if state is not None:  # while the optimizers live: a registry of them may be weak
            changed.extend(state.changed())
        return own

    changed: list[str] = []
    try:
        first, again, beside = trained([1]), trained([1]), trained([3, 0, 1, 2])
    except BaseException as error:
        reraise_interrupt(error)
        return ""  # the run's own failure, which it will be told of
    if changed:
        return f"it keeps a state outside of the optimizer: {', '.join(dict.fromkeys(changed))}"
    if generators.used:
        return "it draws from a generator that all runs of the process share"
    if not all(_equal(a.params[n][1], first.params[n][1]) for a in (again, beside) for n in names):
        return "its steps depend on what other optimizers of the process have done"
    return ""


def _gradient(like: Tensor, t: int, steps: int, draw: torch.Generator) -> Tensor:
    """Gradients of the rows, of unlike sizes: one is zero at times, and the last one comes to be no number."""
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
    """The generators that all runs of a process share, as they are now."""

    def __init__(self) -> None:
        self.state: Any = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002  # what all share

    @property
    def used(self) -> bool:
        torchs, numpys, pythons = self.state
        now: Any = np.random.get_state()  # noqa: NPY002
        drawn = now[2] != numpys[2] or not np.array_equal(now[1], numpys[1])
        return drawn or random.getstate() != pythons or not torch.equal(torch.get_rng_state(), torchs)

    def restore(self) -> None:
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
        """Nothing to do."""


def _no_schedule(_: Any) -> Any:
    return _NoSchedule()
