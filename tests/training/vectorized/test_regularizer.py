"""Tests of stacked hooks that change their arguments: one call a step for every member, under vmap or not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.modeling.regularizer import Regularizer, Tensors
from harness.training.vectorized.regularizer import StackedRegularizer
from tests.training.helpers import FLOAT64, cohort, train


class Halved(Regularizer):
    """Halve the weights and count the calls."""

    def __init__(self, share: float) -> None:
        self.share = share

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        state["count"].add_(1)
        for p in params.values():
            p.mul_(self.share)


class ReadsNumber(Halved):
    """As Halved, but reads a number halfway, which vmap refuses."""

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        super().after_step(params, previous, lr, state)
        if float(params["w"].sum()) > 1e9:
            raise AssertionError


@pytest.mark.parametrize("regularizer_class", [Halved, ReadsNumber])
def test_in_place_hook_is_called_once_a_step(regularizer_class: type[Halved]) -> None:
    shares = [0.5, 0.25]
    stacked = StackedRegularizer([regularizer_class(share) for share in shares], 1, torch.float64, torch.device("cpu"))
    params = {"w": torch.ones(3, 4, dtype=torch.float64)}
    state = {"count": torch.zeros(3)}
    for step in (1, 2, 3):
        before = {n: p.clone() for n, p in params.items()}
        with torch.no_grad():
            stacked.call("after_step", params, before, torch.full((3,), 0.1), state)
        assert state["count"].tolist() == [step] * 3
        for row, share in enumerate([*shares, shares[0]]):
            assert params["w"][row].tolist() == [share**step] * 4
    assert stacked.row_by_row == ({"after_step"} if regularizer_class is ReadsNumber else set())


def test_settings_of_weights_activations_and_targets_differ_within_a_stack() -> None:
    names = ["l1_proximal", "weight_decay", "max_norm", "weight_averaging", "activation_noise", "label_smoothing"]
    base = ["batch_size=43", "epochs=1", "model=mlp", "model.width=13", *FLOAT64, f"regularizer=[{','.join(names)}]"]
    lines = [
        [*base, "seed=1", "regularizer.max_norm.limit=0.8", "regularizer.activation_noise.std=0.01"],
        [*base, "seed=1", "regularizer.l1_proximal.strength=0.3", "regularizer.weight_averaging.decay=0.5"],
        [*base, "seed=2", "regularizer.weight_decay.strength=0.9", "regularizer.label_smoothing.strength=0.3"],
    ]
    for one, run in zip(lines, cohort(lines), strict=True):
        assert run.state.history == [pytest.approx(row, rel=1e-6) for row in train(one)[0].history]
    swa = [*base, "regularizer.weight_averaging.mode=swa"]
    lines = [[*swa, f"regularizer.weight_averaging.start={start}"] for start in (0.0, 0.35, 0.9)]
    for one, run in zip(lines, cohort(lines), strict=True):
        assert run.state.history == [pytest.approx(row, rel=1e-6) for row in train(one)[0].history]
