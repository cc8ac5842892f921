"""Call diagnostics with the inputs of a step: all under one vmap, and row by row if vmap refuses one."""

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
from harness.training.diagnostics.view import ModelView, Named, without_running_stats
from harness.training.distributed import local_only

Values = dict[str, Any]  # tag: value


@dataclass
class Measurements:
    """Values, errors and times of diagnostics, by their names.

    Attributes:
        values: The values by tag, of each diagnostic that was measured.
        errors: The error of each diagnostic that failed.
        seconds: The time of each diagnostic.
    """

    values: dict[str, Values] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


class DiagnosticCalls:
    """Call diagnostics on a model or a stack.

    Args:
        view: The model or the stack.
        roles: The roles of its modules by name.
    """

    def __init__(self, view: ModelView, roles: Mapping[str, str]) -> None:
        self.view, self.roles = view, roles
        self._row_by_row: set[int] = set()  # diagnostics that vmap refused

    def measure(self, due: Mapping[str, Diagnostic], inputs: Mapping[str, Any], rows: int | None) -> Measurements:
        """Measure diagnostics, of all rows together as far as vmap allows it.

        Args:
            due: The diagnostics by name.
            inputs: Their inputs by name, with a first dimension for the rows of a stack.
            rows: Rows of the stack; None for a single model.

        Returns:
            The values, with a first dimension for the rows of a stack.
        """
        wanted = {name for diagnostic in due.values() for name in diagnostic.asks}
        if "loss" in wanted:
            wanted |= {"params", "fixed", "buffers", "key", "x", "y"}
        plain = {name: value for name, value in inputs.items() if name in wanted and not _has_tensors(value)}
        tensors = {name: value for name, value in inputs.items() if name in wanted and name not in plain}
        measurements = Measurements()

        def measure_row(names: Iterable[str], stacked: bool, tensors: dict[str, Any]) -> dict[str, Values]:
            arguments = self._arguments(plain | tensors, stacked)
            results = {}
            for name in names:
                start = time.perf_counter()
                try:
                    values = due[name].measure(**{ask: arguments[ask] for ask in due[name].asks})
                    results[name] = dict(values) if rows is None else {t: _for_vmap(v) for t, v in values.items()}
                except Exception as error:
                    measurements.errors[name] = error
                seconds = time.perf_counter() - start
                measurements.seconds[name] = measurements.seconds.get(name, 0.0) + seconds
            return results

        together = [name for name, diagnostic in due.items() if id(diagnostic) not in self._row_by_row]
        with torch.no_grad():
            if together:
                with contextlib.nullcontext() if rows is None else contextlib.suppress(Exception):
                    measurements.values |= self.view.map(functools.partial(measure_row, together, True), tensors)
            if rows is not None:
                self._row_by_row |= {id(due[name]) for name in due if name not in measurements.values}
                measurements.errors = {}
                if left := [name for name in due if name not in measurements.values]:
                    results = []
                    for row in range(rows):
                        with self.view.select_row(row):
                            results.append(measure_row(left, False, _row(tensors, row)))
                    measurements.values |= {
                        name: _stack([values[name] for values in results])
                        for name in left
                        if name not in measurements.errors
                    }
        return measurements

    def _arguments(self, inputs: dict[str, Any], stacked: bool) -> dict[str, Any]:
        """Complete the inputs of one row to the arguments of diagnostics."""
        if "layers" in inputs:
            inputs["layers"] = {n: Layer(out, g, self.roles[n]) for n, (out, g) in inputs["layers"].items()}
        if "key" in inputs:
            inputs["loss"] = self._loss(inputs, stacked)
        return inputs

    def _loss(self, inputs: Mapping[str, Any], stacked: bool) -> Callable[..., Tensor]:
        """Return the loss as a function that torch.func can differentiate twice, also under vmap.

        It uses torch's own functions: their replacements in a stack are differentiated once, outside of vmap.
        """
        view, key = self.view, inputs["key"]
        fixed, buffers = inputs["fixed"], inputs["buffers"]

        def loss(
            params: Named, x: Tensor = inputs["x"], y: Tensor = inputs["y"], draw: Tensor | int = 0, train: bool = True
        ) -> Tensor:
            noise = Noise(key if isinstance(draw, int) and draw == 0 else mix(key + draw))
            with (
                _mode(view.model, train),
                view.redirect_differentiable(noise, stacked),
                local_only(),
                without_running_stats(view.model),
                sdpa_kernel(SDPBackend.MATH),  # the other backends have no second derivative
                torch.enable_grad(),
            ):
                losses = view.task.losses(view.bind(fixed | params, buffers), (x, y), noise)
            first, *more = losses.values()
            return sum(more, first)

        return loss


@contextmanager
def _mode(model: nn.Module, train: bool) -> Iterator[None]:
    """Context in which the model is in training or evaluation mode."""
    before = model.training
    if before != train:
        model.train(train)
    try:
        yield
    finally:
        if before != train:
            model.train(before)


def _for_vmap(value: Any) -> Any:
    """Convert a value for vmap, which returns tensors only; raise TypeError if that is not possible."""
    if isinstance(value, (int, float)):
        return torch.as_tensor(value)
    if not all(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value)):
        raise TypeError(f"a diagnostic found {type(value).__name__}, which is no tensor")
    return value


def _has_tensors(value: Any) -> bool:
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value))


def _row(tree: Any, row: int) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: t[row], tree)


def _stack(values: list[Any]) -> Any:
    return pytree.tree_map(lambda *leaves: torch.stack(leaves), values[0], *values[1:])
