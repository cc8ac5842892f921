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

Make = Callable[[], torchmetrics.Metric]
States = dict[str, Tensor]


class StackedMetric:
    """The same metric of `rows` rows.

    The first batch is checked against an ordinary metric of the first row. If vmap refuses the metric, or the values
    differ, each row has an ordinary metric from then on.

    Args:
        make: Make an ordinary metric.
        rows: Rows of the stack.
        device: The device of the stack.
    """

    def __init__(self, make: Make, rows: int, device: torch.device) -> None:
        self.make, self.rows, self.device = make, rows, device
        self.template = make().to(device)
        self.initial = self.template.metric_state  # an update replaces the tensors of a metric and changes none
        self.vectorized = all(isinstance(state, Tensor) for state in self.initial.values())
        self.checked = False
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
            self.states = self._update_states(self.states, prediction, target)
            return
        for row, metric in enumerate(self.row_metrics):
            metric.update(*(pytree.tree_map(lambda t, row=row: t[row], tree) for tree in (prediction, target)))

    def compute(self) -> list[float]:
        """Return the value of each row and reset the metric."""
        if self.vectorized:
            values = self._compute_rows(self.states)
        else:
            values = [metric_value(metric) for metric in self.row_metrics]
        self._reset()
        return values

    def _update_states(self, states: States, prediction: Any, target: Any) -> States:
        def update_row(states: States, prediction: Any, target: Any) -> States:
            metric = self._with_states(states)
            type(metric).update(metric, prediction, target)
            return {name: getattr(metric, name) for name in states}

        updated: States = vmap(update_row, randomness="error")(states, prediction, target)
        return updated

    def _compute_rows(self, states: States) -> list[float]:
        """Compute row by row: the rounding of a sum over few classes depends on the height of a stack."""
        rows = (dict(zip(states, values, strict=True)) for values in zip(*states.values(), strict=True))
        values = []
        for row in rows:
            metric = with_float64_states(self._with_states(row))
            values.append(float(type(metric).compute(metric)))
        return values

    def _with_states(self, states: States) -> torchmetrics.Metric:
        for name, value in states.items():
            setattr(self.template, name, value)
        return self.template

    def _agrees(self, prediction: Any, target: Any) -> bool:
        """Return True if vmap and an ordinary metric give the first row the same value."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # torch warns of a slow batching rule: row by row is as fast then
                values = self._compute_rows(self._update_states(self.states, prediction, target))
            ordinary = self.make().to(self.device)
            ordinary.update(*(pytree.tree_map(lambda t: t[0], tree) for tree in (prediction, target)))
            expected = metric_value(ordinary)
        except Exception as error:
            reraise_interrupt(error)
            return False
        return math.isclose(values[0], expected, rel_tol=1e-6) or (math.isnan(values[0]) and math.isnan(expected))
