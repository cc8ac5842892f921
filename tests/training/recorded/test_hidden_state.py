"""Tests of components whose Python code keeps a state: recorded steps have the bits of plain ones nonetheless."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import harness
from harness.modeling.builder import RunComponents
from harness.modeling.regularizer import Regularizer
from harness.testing.training import cohort, same
from harness.training.recorded.fused_optimizer import FORMS, FusedOptimizer

BASE = ["data=digits", "split.test=0.6", "split.val=0.2", "batch_size=43", "epochs=6", "model=mlp", "model.width=13"]
CALLS = {"n": 0}
LEVEL = 0


class Penalty(Regularizer):
    """A penalty whose strength is `strength()`."""

    def __init__(self, strength: Callable[[], float]) -> None:
        self.strength = strength

    def penalty(self, params: dict[str, Tensor]) -> Any:
        return sum(p.square().sum() for p in params.values()) * self.strength()


def counting_global() -> float:
    CALLS["n"] += 1
    return 0.1 if CALLS["n"] > 20 else 0.01


def counting_rebound() -> float:
    global LEVEL  # noqa: PLW0603  # the state that is tested
    LEVEL += 1
    return 0.1 if LEVEL > 20 else 0.01


def closure() -> Callable[[], float]:
    calls = 0

    def strength() -> float:
        nonlocal calls
        calls += 1
        return 0.1 if calls > 20 else 0.01

    return strength


def drawn() -> float:
    return 0.1 if random.random() < 0.05 else 0.01


class PerEpoch(Penalty):
    """A penalty that is stronger after the third epoch."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.1 if self.epochs > 2 else 0.01)
        self.epochs = 0

    def should_stop(self, history: Any) -> bool:
        self.epochs += 1
        return False


class AfterSteps(Penalty):
    """A penalty that becomes stronger within an epoch, by a count that its state keeps."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.1 if self.late else 0.01)
        self.late = False

    def init(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"count": torch.zeros(())}

    def after_step(self, params: Any, before: Any, lr: Any, state: dict[str, Tensor]) -> None:
        state["count"].add_(1)
        self.late = bool(state["count"] > 27)


class Annealed(Regularizer):
    """Gradients that are halved from the 20th step on."""

    def gradient(self, grads: dict[str, Tensor], params: Any, noise: harness.Noise) -> dict[str, Tensor]:
        return {name: g * (0.5 if noise.step > 20 else 1.0) for name, g in grads.items()}


FRESH: dict[str, Callable[[], Regularizer]] = {
    "a number in a global container": lambda: Penalty(counting_global),
    "a global number": lambda: Penalty(counting_rebound),
    "a closure": lambda: Penalty(closure()),
    "Python's generator": lambda: Penalty(drawn),
    "an attribute that changes with the epochs": PerEpoch,
    "an attribute that changes after a step": AfterSteps,
    "the number of the step": Annealed,
}


SINGLE = {"an attribute that changes after a step"}  # under vmap, no hook can read numbers from tensors


@pytest.mark.parametrize(
    ("state", "fused"),
    [*((state, False) for state in FRESH), *((state, True) for state in FRESH if state not in SINGLE)],
)
def test_hidden_state_changes_no_bits(state: str, fused: bool) -> None:
    def train(recording: str) -> list[Any]:
        global LEVEL  # noqa: PLW0603  # the state that is tested
        CALLS["n"] = LEVEL = 0
        random.seed(0)

        def add(parts: RunComponents) -> None:
            parts.regularizers.append(FRESH[state]())

        members = [[*BASE, f"recording={recording}", f"seed={seed}"] for seed in (1, 2)][: 2 if fused else 1]
        return cohort(members, change=add, fused=fused)

    assert all(same(a, b) for a, b in zip(train("always"), train("never"), strict=True))


def test_steps_of_functions_that_are_recorded_anew_are_not_kept() -> None:
    def add(parts: RunComponents) -> None:
        parts.regularizers.append(PerEpoch())

    optimizers: list[FusedOptimizer] = []
    initialize = FusedOptimizer.__init__

    def noted(self: FusedOptimizer, optimizer: torch.optim.Optimizer) -> None:
        optimizers.append(self)
        initialize(self, optimizer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FusedOptimizer, "__init__", noted)
        line = [*(word for word in BASE if not word.startswith("epochs")), "epochs=20", "recording=always"]
        cohort([line], change=add, fused=False)
    assert 0 < len(optimizers[-1]._steps) <= FORMS
