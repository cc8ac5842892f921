"""Diagnostics called with what a step shows: all that are due under one vmap, and one by itself that vmap refuses."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness._compat.torch import pytree
from harness.modeling.diagnostic import Diagnostic, Layer
from harness.modeling.rng.noise import Noise, mix
from harness.training.diagnostics.view import ModelView, Named, untracked
from harness.training.distributed import by_itself

Values = dict[str, Any]  # tag: value


@dataclass
class Measured:
    """By the names of diagnostics: what they found, or what they raised, and the seconds that each took."""

    found: dict[str, Values] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class DiagnosticCalls:
    """Calls diagnostics on a scene whose modules have these roles."""

    def __init__(self, scene: ModelView, roles: Mapping[str, str]) -> None:
        self.scene, self.roles = scene, roles
        self._apart: set[int] = set()  # diagnostics that vmap has refused

    def measured(self, due: Mapping[str, Diagnostic], given: Mapping[str, Any], rows: int | None) -> Measured:
        """What they find, of all rows together as far as vmap allows it; `rows` is None where there are none."""
        wanted = {ask for diagnostic in due.values() for ask in diagnostic.asks}
        if "loss" in wanted:
            wanted |= {"params", "fixed", "buffers", "key", "x", "y"}
        plain = {key: value for key, value in given.items() if key in wanted and not _tensors(value)}
        tree = {key: value for key, value in given.items() if key in wanted and key not in plain}
        made = Measured()

        def one(names: Iterable[str], together: bool, tree: dict[str, Any]) -> dict[str, Values]:
            offers = self._offers(plain | tree, together)
            found = {}
            for name in names:
                began = time.perf_counter()
                try:
                    values = due[name].measure(**{ask: offers[ask] for ask in due[name].asks})
                    found[name] = dict(values) if rows is None else {t: _mapped(v) for t, v in values.items()}
                except Exception as error:
                    made.failed[name] = error
                made.seconds[name] = made.seconds.get(name, 0.0) + time.perf_counter() - began
            return found

        whole = [name for name, diagnostic in due.items() if id(diagnostic) not in self._apart]
        with torch.no_grad():
            if whole:
                with contextlib.nullcontext() if rows is None else contextlib.suppress(Exception):
                    made.found |= self.scene.map(functools.partial(one, whole, True), tree)
            if rows is not None:
                self._apart |= {id(due[name]) for name in due if name not in made.found}
                made.failed = {}
                if left := [name for name in due if name not in made.found]:
                    each = []
                    for row in range(rows):
                        with self.scene.apart(row):
                            each.append(one(left, False, _row(tree, row)))
                    made.found |= {n: _stacked([found[n] for found in each]) for n in left if n not in made.failed}
        return made

    def _offers(self, given: dict[str, Any], together: bool) -> dict[str, Any]:
        """What measurements ask for, of one row."""
        if "layers" in given:
            given["layers"] = {n: Layer(out, g, self.roles[n]) for n, (out, g) in given["layers"].items()}
        if "key" in given:
            given["loss"] = self._loss(given, together)
        return given

    def _loss(self, offers: Mapping[str, Any], together: bool) -> Callable[..., Tensor]:
        """The loss as a function that torch.func can differentiate twice, under vmap where rows are together: with
        torch's own functions, since what stands in for them in a stack is differentiated once, outside of vmap.
        """
        scene, key = self.scene, offers["key"]
        fixed, buffers = offers["fixed"], offers["buffers"]

        def loss(
            params: Named, x: Tensor = offers["x"], y: Tensor = offers["y"], draw: Tensor | int = 0, train: bool = True
        ) -> Tensor:
            noise = Noise(key if isinstance(draw, int) and draw == 0 else mix(key + draw))
            with (
                _mode(scene.model, train),
                scene.differentiated(noise, together),
                by_itself(),
                untracked(scene.model),
                sdpa_kernel(SDPBackend.MATH),  # the others have no second derivative
                torch.enable_grad(),
            ):
                losses = scene.task.losses(scene.bind(fixed | params, buffers), (x, y), noise)
            first, *more = losses.values()
            return sum(more, first)

        return loss


@contextmanager
def _mode(model: nn.Module, train: bool) -> Iterator[None]:
    """Inside, the model trains or is evaluated."""
    was = model.training
    if was != train:
        model.train(train)
    try:
        yield
    finally:
        if was != train:
            model.train(was)


def _mapped(value: Any) -> Any:
    """As vmap wants what comes out of it. Raises TypeError for what it could not take."""
    if isinstance(value, (int, float)):
        return torch.as_tensor(value)
    if not all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value)):
        raise TypeError(f"a diagnostic found {type(value).__name__}, which is no tensor")
    return value


def _tensors(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


def _row(tree: Any, row: int) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[row], tree)


def _stacked(values: list[Any]) -> Any:
    return pytree.tree_map(lambda *leaves: torch.stack(leaves), values[0], *values[1:])
