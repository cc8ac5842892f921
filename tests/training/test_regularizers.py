"""Tests of the hooks of a regularizer within a run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from harness.modeling.builder import RunComponents
from harness.modeling.regularizer import Regularizer, Tensors
from tests.training.helpers import cohort, train


class Average(Regularizer):
    """Average the weights after each step; the run ends with the average."""

    def init(self, params: Tensors) -> Any:
        return {"count": 0, **{n: torch.zeros_like(p) for n, p in params.items()}}

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        state["count"] += 1
        for name, p in params.items():
            state[name] += (p - state[name]) / state["count"]

    def evaluate(self, params: Tensors, state: Any) -> Tensors:
        return {name: state[name] for name in params}


class Frozen(Regularizer):
    """Undo every step."""

    def after_step(self, params: Tensors, previous: Tensors, lr: float, state: Any) -> None:
        for name, p in params.items():
            p.copy_(previous[name])


class Uniform(Regularizer):
    """Replace targets by uniform ones."""

    def target(self, y: Tensor) -> Tensor:
        return torch.full((len(y), 10), 0.1)


def using(*regularizers: Regularizer) -> Any:
    def change(parts: RunComponents) -> None:
        parts.regularizers.extend(regularizers)

    return change


def test_after_step_gets_the_weights_before_the_step() -> None:
    start: dict[str, Tensor] = {}

    def change(parts: RunComponents) -> None:
        parts.regularizers.append(Frozen())
        start.update({n: p.detach().clone() for n, p in parts.model.named_parameters()})

    _, _, parts = train(["epochs=1"], change=change)
    assert all(torch.equal(p, start[n]) for n, p in parts.model.named_parameters())


def test_averaged_weights_are_evaluated_and_kept_but_not_trained() -> None:
    line = ["epochs=3", "optimizer=sgd", "optimizer.lr=0.5"]
    plain, raw, _ = train(line)
    averaged, kept, _ = train(line, change=using(Average()))
    assert [r["train/loss"] for r in plain.history] == [r["train/loss"] for r in averaged.history]
    assert plain.metrics["val/loss"] != averaged.metrics["val/loss"]
    assert not torch.equal(raw["head.weight"], kept["head.weight"])


def test_targets_are_changed_only_in_training() -> None:
    member, _, _ = train(["epochs=2"], change=using(Uniform()))
    assert member.metrics["train/loss"] > 2.3 - 1e-6  # ln 10 is the minimum for uniform targets
    assert member.metrics["val/accuracy"] <= 1


def test_early_stopping_restores_the_best_weights() -> None:
    line = [
        "epochs=60",
        "optimizer=sgd",
        "optimizer.lr=0.3",
        "corruption=[label_noise]",
        "corruption.label_noise.p=0.4",
        "regularizer=[early_stopping]",
        "regularizer.early_stopping.patience=3",
    ]
    member, _, _ = train(line)
    assert member.stopped
    assert member.epochs < 60
    best = min(row["val/loss"] for row in member.history)
    assert member.metrics["val/loss"] == pytest.approx(best, rel=1e-6)
    assert member.best["val/loss"] == {"value": best, "epoch": member.epochs - 4}
    last, _, _ = train([*line, "regularizer.early_stopping.keep=last"])
    assert last.metrics["val/loss"] == last.history[-1]["val/loss"] > best


def test_clipped_gradients_stay_within_the_limit() -> None:
    seen: list[float] = []

    class Watch(Regularizer):
        def gradient(self, grads: Tensors, params: Tensors, noise: Any) -> Tensors:
            seen.append(float(torch.cat([g.flatten() for g in grads.values()]).norm()))
            return grads

    line = ["epochs=1", "regularizer=[gradient_clipping]", "regularizer.gradient_clipping.limit=0.1"]
    train(line, change=using(Watch()))
    assert len(seen) == 18
    assert max(seen) <= 0.1 + 1e-6


@pytest.mark.parametrize("fused", [False, True])
def test_best_weights_are_not_averaged_again(fused: bool) -> None:
    """The best weights were an average; the run ends with it, and not with a later one."""
    line = [
        "epochs=60",
        "optimizer.lr=0.03",
        "model=mlp",
        "regularizer.early_stopping.patience=3",
        "corruption=[label_noise]",
        "corruption.label_noise.p=0.5",
        "regularizer=[early_stopping,weight_averaging]",
    ]
    runs = cohort([[*line, f"seed={seed}"] for seed in range(3 if fused else 1)], fused=fused)
    late = [run for run in runs if run.state.best["val/loss"]["epoch"] < run.state.epochs - 1]
    for run in runs:
        assert run.state.metrics["val/loss"] == pytest.approx(run.state.best["val/loss"]["value"], rel=1e-6)
    assert late
