"""Compute one torchmetrics metric for every row of a stack: under vmap if it allows that, else row by row."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torch.func import vmap

from harness._compat.torch import pytree
from harness.system.errors import reraise_interrupt
from harness.training.metric_value import metric_value, with_float64_states
from harness.training.recorded.function import RecordedFunctions

Make = Callable[[], torchmetrics.Metric]
States = dict[str, Tensor]
CHUNK = 32  # rows whose values are computed at a time: the rounding of a sum depends on their number


class StackedMetric:
    """The same metric of `rows` rows.

    The first batch is checked against an ordinary metric of the first row. If vmap refuses the metric, or the values
    differ, each row has an ordinary metric from then on. If only the values that vmap computes from the sums differ,
    they are computed row by row.

    Args:
        make: Make an ordinary metric.
        rows: Rows of the stack.
        device: The device of the stack.
        refuse_recording: The reason why updates are not recorded and replayed; empty records them.
    """

    def __init__(self, make: Make, rows: int, device: torch.device, refuse_recording: str = "") -> None:
        self.make, self.rows, self.device = make, rows, device
        self.template = make().to(device)
        self.initial = self.template.metric_state  # an update replaces the tensors of a metric and changes none
        self.vectorized = all(isinstance(state, Tensor) for state in self.initial.values())
        self.checked = self.in_chunks = False
        self._recorded = RecordedFunctions([type(self.template)], refuse_recording)
        self._reset()

    def _reset(self) -> None:
        if self.vectorized:
            self.states: States = {
                name: state.expand(self.rows, *state.shape).clone()
                for name, state in self.initial.items()
                if isinstance(state, Tensor)
            }
        else:
            self.row_metrics = [self.make().to(self.device) for _ in range(self.rows)]

    def keep(self, rows: int) -> None:
        """Reset the metric for a stack of so many rows."""
        self.rows = rows
        self._reset()

    def update(self, prediction: Any, target: Any) -> None:
        """Update with a batch: trees of tensors `[rows, n, ...]`."""
        if self.vectorized and not self.checked:
            self.vectorized = self.checked = self._agrees(prediction, target)
            self._reset()
        if self.vectorized:
            self._replay_update(prediction, target)
            return
        for row, metric in enumerate(self.row_metrics):
            metric.update(*(pytree.tree_map(lambda t, row=row: t[row], tree) for tree in (prediction, target)))

    def compute(self) -> list[float]:
        """Return the value of each row and reset the metric."""
        if self.vectorized:
            values = self._compute_chunks(self.states) if self.in_chunks else self._compute_rows(self.states)
        else:
            values = [metric_value(metric) for metric in self.row_metrics]
        self._reset()
        return values

    def _replay_update(self, prediction: Any, target: Any) -> None:
        leaves, tree = pytree.tree_flatten((prediction, target))
        leaves = [leaf.contiguous() for leaf in leaves]  # as they are recorded
        names = list(self.states)

        def update(*tensors: Tensor) -> States:
            states = dict(zip(names, tensors, strict=False))
            return self._update_states(states, *pytree.tree_unflatten(list(tensors[len(names) :]), tree))

        form = [(t.shape, t.dtype) for t in (*self.states.values(), *leaves)]
        self.states = self._recorded.of(repr(tree), *form)(update, *self.states.values(), *leaves)

    def _update_states(self, states: States, prediction: Any, target: Any) -> States:
        def update_row(states: States, prediction: Any, target: Any) -> States:
            metric = self._with_states(states)
            type(metric).update(metric, prediction, target)
            return {name: getattr(metric, name) for name in states}

        updated: States = vmap(update_row, randomness="error")(states, prediction, target)
        return updated

    def _compute_rows(self, states: States) -> list[float]:
        """Compute the values row by row."""
        rows = (dict(zip(states, values, strict=True)) for values in zip(*states.values(), strict=True))
        values = []
        for row in rows:
            metric = with_float64_states(self._with_states(row))
            values.append(float(type(metric).compute(metric)))
        return values

    def _compute_chunks(self, states: States) -> list[float]:
        """Compute the values of `CHUNK` rows at a time; the first row is repeated where there are fewer."""
        names, values = list(states), []

        def compute_row(*tensors: Tensor) -> Tensor:
            metric = with_float64_states(self._with_states(dict(zip(names, tensors, strict=True))))
            value: Tensor = type(metric).compute(metric)
            return value.double()

        def compute(*tensors: Tensor) -> Tensor:
            computed: Tensor = vmap(compute_row, randomness="error")(*tensors)
            return computed

        for first in range(0, self.rows, CHUNK):
            index = torch.arange(first, first + CHUNK, device=self.device)
            index[index >= self.rows] = 0
            chunk = [state[index] for state in states.values()]
            values += self._recorded.of("compute")(compute, *chunk).tolist()
        return values[: self.rows]

    def _with_states(self, states: States) -> torchmetrics.Metric:
        for name, value in states.items():
            setattr(self.template, name, value)
        return self.template

    def _attributes(self) -> dict[str, Any]:
        """Return the attributes of the metric that are numbers or texts."""
        return {name: value for name, value in vars(self.template).items() if isinstance(value, (int, float, str))}

    def _agrees(self, prediction: Any, target: Any) -> bool:
        """Return True if vmap and an ordinary metric give the first row the same value."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # torch warns of a slow batching rule: row by row is as fast then
                states = self._update_states(self.states, prediction, target)
                before = self._attributes()
                again = self._update_states(states, prediction, target)
                self._compute_rows({name: state[:1] for name, state in again.items()})
                if self._attributes() != before:
                    return False  # it counts its updates: those of all rows
                values = self._compute_rows(states)
            ordinary = self.make().to(self.device)
            ordinary.update(*(pytree.tree_map(lambda t: t[0], tree) for tree in (prediction, target)))
            expected = metric_value(ordinary)
        except Exception as error:
            reraise_interrupt(error)
            return False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self.in_chunks = self._compute_chunks(states) == values
        except Exception as error:
            reraise_interrupt(error)
        self._recorded.reset()
        return math.isclose(values[0], expected, rel_tol=1e-6) or (math.isnan(values[0]) and math.isnan(expected))
