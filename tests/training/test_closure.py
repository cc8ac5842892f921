"""Tests of optimizers that step on the full data or evaluate the loss themselves."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

import harness
from harness.modeling.builder import RunComponents
from harness.training.fit import Run
from tests.training.helpers import FLOAT64, cohort

TINY = ["model=mlp", "model.width=8", "model.depth=1", "initializer=xavier_normal", *FLOAT64]


def train(line: list[str], change: Any = lambda parts: None) -> Run:
    (run,) = cohort([line], change=change, fused=False)
    return run


def weights(run: Run) -> torch.Tensor:
    assert run.state.weights is not None
    return torch.cat([t.flatten() for t in run.state.weights.values()])


class Calls(torch.optim.SGD):
    """Gradient descent that evaluates its loss several times before each step, and records losses and gradients."""

    def __init__(self, params: Any, lr: float, times: int, seen: list[Any]) -> None:
        super().__init__(params, lr=lr)
        self.times, self.seen = times, seen

    def step(self, closure: Any = None) -> Any:
        losses = [float(closure()) for _ in range(self.times)]
        grads = [None if p.grad is None else p.grad.clone() for p in self.param_groups[0]["params"]]
        self.seen.append((losses, grads))
        super().step()
        return losses[-1]


def calling(parts: RunComponents, times: int, seen: list[Any], gradient: bool = True) -> None:
    parts.optimizer = functools.partial(_calls, times=times, seen=seen)
    parts.closure, parts.gradient = True, gradient


def _calls(params: Any, times: int, seen: list[Any], **_: Any) -> Calls:
    return Calls(params, 0.1, times, seen)


def test_gradient_descent_steps_once_an_epoch_for_any_batch_size() -> None:
    line = [*TINY, "optimizer=gd", "optimizer.lr=0.5", "epochs=3"]
    small, whole = train([*line, "batch_size=100"]), train([*line, "batch_size=1149"])
    assert small.state.steps == whole.state.steps == 3
    torch.testing.assert_close(weights(small), weights(whole), rtol=1e-10, atol=1e-12)
    sgd = train([*TINY, "optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=0.5", "epochs=3", "batch_size=1149"])
    torch.testing.assert_close(weights(sgd), weights(whole), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("extra", [[], ["accumulate=3"], ["regularizer=[dropout,l2,gradient_clipping]"]])
def test_closure_evaluates_the_same_loss_each_time(extra: list[str]) -> None:
    """Noise is included: the draws of a step are a function of the step."""
    seen: list[Any] = []
    line = [*TINY, *extra, "epochs=1", "batch_size=200"]
    run = train([*line, "optimizer=sgd"], change=lambda parts: calling(parts, 3, seen))
    assert all(len(set(losses)) == 1 for losses, _ in seen)
    assert len(seen) == run.state.steps
    plain = train([*line, "optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=0.1"])
    torch.testing.assert_close(weights(run), weights(plain), rtol=1e-12, atol=1e-14)


def test_closure_without_gradient_computes_none() -> None:
    seen: list[Any] = []
    run = train([*TINY, "epochs=1"], change=lambda parts: calling(parts, 2, seen, gradient=False))
    assert all(grad is None for _, grads in seen for grad in grads)
    assert run.state.history[0]["train/loss"] > 0


def test_full_batch_optimizers_form_their_own_stack(workdir: Any) -> None:
    records = harness.sweep(
        ["model=mlp", "model.width=8", "epochs=2", "optimizer=gd,sgd", "seed=0,1", "path=fused", "executor=in_process"]
    )
    assert [r.status for r in records] == ["completed"] * 4
    assert [r.time["steps"] for r in records] == [2, 2, 36, 36]
    assert {r.cohort["size"] for r in records} == {2}


def test_reduce_on_plateau_follows_each_runs_validation(workdir: Any) -> None:
    line = ["model=mlp", "model.width=8", "epochs=4", "scheduler=reduce_on_plateau", "scheduler.patience=0"]
    record = harness.run([*line, "scheduler.threshold=10", "scheduler.factor=0.5", "optimizer.lr=0.01"])
    rows = [row.split(",") for row in (record.folder / "curves.csv").read_text().splitlines()]
    rates = [float(row[3]) for row in rows if row[2] == "train/lr"]
    assert rates == pytest.approx([0.01, 0.005, 0.0025, 0.00125])
    two = harness.sweep([*line, "seed=0,1", "path=auto"])
    assert {r.cohort["path"] for r in two} == {"alone"}
    assert "follows the val/loss of each run" in two[0].cohort["why"]


def test_optimizer_with_closure_is_not_stacked(workdir: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.execution.sweep import grouping

    monkeypatch.setattr(grouping, "needs_closure", lambda optimizer: True)
    line = ["model=mlp", "model.width=8", "epochs=1", "seed=0,1", "executor=in_process"]
    assert {r.cohort["path"] for r in harness.sweep([*line, "study=free"])} == {"alone"}
    forced = harness.sweep([*line, "path=fused", "study=forced"])
    assert {r.status for r in forced} == {"failed"}
    assert "evaluates the loss several times a step" in str(forced[0].error)
