"""One torchmetrics metric for every member of a stack: its sums under vmap where it allows that, else one each."""

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

Make = Callable[[], torchmetrics.Metric]
States = dict[str, Tensor]


class StackedMetric:
    """`rows` metrics at once. The first batch is also given to a metric of its own, for the first member: if that one
    says otherwise, or vmap refuses, every member has a metric of its own from then on.
    """

    def __init__(self, make: Make, rows: int, device: torch.device) -> None:
        self.make, self.rows, self.device = make, rows, device
        self.one = make().to(device)
        self.initial = self.one.metric_state  # a metric's tensors are replaced as it is updated, and not changed
        self.together = all(isinstance(state, Tensor) for state in self.initial.values())
        self.proven = False
        self._reset()

    def _reset(self) -> None:
        if self.together:
            self.states: States = {
                name: state.expand(self.rows, *state.shape).clone()
                for name, state in self.initial.items()
                if isinstance(state, Tensor)
            }
        else:
            self.each = [self.make().to(self.device) for _ in range(self.rows)]

    def keep(self, rows: int) -> None:
        """Goes on with so many rows, from the next reset on."""
        self.rows = rows
        self._reset()

    def update(self, prediction: Any, target: Any) -> None:
        """Takes a batch: trees of tensors [rows, n, ...]."""
        if self.together and not self.proven:
            self.together = self.proven = self._agrees(prediction, target)
            self._reset()
        if self.together:
            self.states = self._updated(self.states, prediction, target)
            return
        for row, metric in enumerate(self.each):
            metric.update(*(pytree.tree_map(lambda t, row=row: t[row], tree) for tree in (prediction, target)))

    def compute(self) -> list[float]:
        """The value of each row; starts anew."""
        values = self._computed(self.states) if self.together else [float(metric.compute()) for metric in self.each]
        self._reset()
        return values

    def _updated(self, states: States, prediction: Any, target: Any) -> States:
        def one(states: States, prediction: Any, target: Any) -> States:
            metric = self._with(states)
            type(metric).update(metric, prediction, target)
            return {name: getattr(metric, name) for name in states}

        found: States = vmap(one, randomness="error")(states, prediction, target)
        return found

    def _computed(self, states: States) -> list[float]:
        """Row by row: a sum over few classes is rounded another way in a stack of another height."""
        rows = (dict(zip(states, values, strict=True)) for values in zip(*states.values(), strict=True))
        found = []
        for row in rows:
            metric = self._with(row)
            found.append(float(type(metric).compute(metric)))
        return found

    def _with(self, states: States) -> torchmetrics.Metric:
        for name, value in states.items():
            setattr(self.one, name, value)
        return self.one

    def _agrees(self, prediction: Any, target: Any) -> bool:
        """Whether the first row's metric of its own says the same."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # a slow batching rule says so: then one each is as good
                found = self._computed(self._updated(self.states, prediction, target))
            alone = self.make().to(self.device)
            alone.update(*(pytree.tree_map(lambda t: t[0], tree) for tree in (prediction, target)))
            expected = float(alone.compute())
        except Exception as error:
            reraise_interrupt(error)
            return False
        return math.isclose(found[0], expected, rel_tol=1e-6) or (math.isnan(found[0]) and math.isnan(expected))
