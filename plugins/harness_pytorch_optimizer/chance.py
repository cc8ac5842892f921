"""Random numbers in an optimizer's step: drawn from the run's seed, not from the global generators."""

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
PLACE = "harness_draws"  # key of [seed, steps] in the first group, so that a resumed run continues its draws
_DRAWS = re.compile(
    r"(rand(n|int|perm)?(_like)?|normal_?|(trunc_)?normal_|uniform_?|bernoulli_?|multinomial|exponential_|"
    r"random_?|shuffle|choice)\Z"
)


def draws(cls: type) -> bool:
    """Return True if the code of a class, or code of its package that it uses, names a function that draws."""
    package = cls.__module__.partition(".")[0]
    return any(_DRAWS.match(name) for code in _reached(cls, package) for name in code.co_names)


def _reached(cls: type, package: str) -> Iterator[types.CodeType]:
    """Yield the code of a class, and all code of its package that it refers to.

    The base class of all optimizers is left out: its draws serve second-order optimizers.
    """
    queue: list[Any] = [cls]
    seen: set[int] = set()
    while queue:
        item = queue.pop()
        if id(item) in seen or not str(getattr(item, "__module__", "")).startswith(package):
            continue
        seen.add(id(item))
        if inspect.isclass(item):
            queue += [*vars(item).values(), *item.__bases__] if item.__name__ != BASE else []
            continue
        function = inspect.unwrap(getattr(item, "__func__", item))
        if not inspect.isfunction(function):
            continue
        for code in _nested(function.__code__):
            yield code
            queue += [function.__globals__[name] for name in code.co_names if name in function.__globals__]


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def seeded(make: Callable[[], Optimizer], generator: Generator) -> Optimizer:
    """Make an optimizer whose steps each draw from a seed of their own, and leave the global generators unchanged."""
    seed = int(torch.randint(1 << 62, (), generator=generator))
    with drawing(seeds.derive(seed, "made"), torch.device("cpu")):
        optimizer = make()
    optimizer.param_groups[0][PLACE] = [seed, 0]
    stack = ExitStack()

    def enter(stepped: Optimizer, *_: Any) -> None:
        stack.close()  # left open by a step that failed
        group = stepped.param_groups[0]
        seed, step = group[PLACE]
        group[PLACE] = [seed, step + 1]
        stack.enter_context(drawing(seeds.derive(seed, step), group["params"][0].device))

    optimizer.register_step_pre_hook(enter)
    optimizer.register_step_post_hook(lambda *_: stack.close())
    return optimizer


@contextmanager
def drawing(seed: int, device: torch.device) -> Iterator[None]:
    """Seed all global generators inside, and restore them afterwards."""
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
