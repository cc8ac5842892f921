"""Chance in an optimizer's step: drawn from the run's own seed, and not from the generators that all share."""

from __future__ import annotations

import inspect
import random
import re
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Generator
from torch.optim import Optimizer

from harness import seeds

BASE = "BaseOptimizer"
PLACE = "harness_draws"  # of [seed, steps] in the first group, so that a resumed run goes on with what it would draw
_DRAWS = re.compile(
    r"(rand(n|int|perm)?(_like)?|normal_?|(trunc_)?normal_|uniform_?|bernoulli_?|multinomial|exponential_|"
    r"random_?|shuffle|choice)\Z"
)


def draws(cls: type) -> bool:
    """Whether the code of a class, or code of its package that it uses, names a function that draws."""
    package = cls.__module__.partition(".")[0]
    return any(_DRAWS.match(name) for code in _reached(cls, package) for name in code.co_names)


def _reached(cls: type, package: str) -> Iterator[types.CodeType]:
    """The code of a class, and of what it names of its package, as far as that leads. The base of all optimizers is no
    sign: what draws there serves those that differentiate gradients.
    """
    found: list[Any] = [cls]
    seen: set[int] = set()
    while found:
        item = found.pop()
        if id(item) in seen or not str(getattr(item, "__module__", "")).startswith(package):
            continue
        seen.add(id(item))
        if inspect.isclass(item):
            found += [*vars(item).values(), *item.__bases__] if item.__name__ != BASE else []
            continue
        function = inspect.unwrap(getattr(item, "__func__", item))
        if not inspect.isfunction(function):
            continue
        for code in _nested(function.__code__):
            yield code
            found += [function.__globals__[name] for name in code.co_names if name in function.__globals__]


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def seeded(make: Callable[[], Optimizer], generator: Generator) -> Optimizer:
    """The optimizer, each of whose steps draws from a seed of its own and leaves what all share as it was."""
    drawn = int(torch.randint(1 << 62, (), generator=generator))
    with drawing(seeds.derive(drawn, "made"), torch.device("cpu")):
        optimizer = make()
    optimizer.param_groups[0][PLACE] = [drawn, 0]
    inside = ExitStack()

    def enter(made: Optimizer, *_: Any) -> None:
        inside.close()  # of a step that has failed
        group = made.param_groups[0]
        seed, step = group[PLACE]
        group[PLACE] = [seed, step + 1]
        inside.enter_context(drawing(seeds.derive(seed, step), group["params"][0].device))

    optimizer.register_step_pre_hook(enter)
    optimizer.register_step_post_hook(lambda *_: inside.close())
    return optimizer


@contextmanager
def drawing(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, all shared generators start from a seed; behind it, they are as they were."""
    numpys, pythons = np.random.get_state(), random.getstate()  # noqa: NPY002  # the collection draws from it
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numpys)  # noqa: NPY002
            random.setstate(pythons)
