"""Tests of the cost model: it decides where the gain of a stack is clear, and leaves the rest to the timing trial."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.execution.sweep import strategy, trial_cache
from harness.execution.sweep.cost_model import SURE, predict
from harness.execution.sweep.strategy import plan_work
from harness.execution.sweep.timing_trial import TimingTrial
from harness.system.session import Session
from tests.execution.sweep.test_strategy import paths, seeds

SMALL = ["model.width=16"]


@pytest.mark.parametrize(
    "line", [SMALL, [*SMALL, "optimizer=sgd"], [*SMALL, "scheduler=cosine", "regularizer=[dropout,l2]"]]
)
def test_stack_of_small_dense_networks_is_predicted(workdir: Path, line: list[str]) -> None:
    trial = predict(seeds(20, *line))
    assert trial is not None
    assert trial.fused is not None
    assert trial.fused <= SURE * trial.alone


def test_larger_stacks_promise_more(workdir: Path) -> None:
    few, many = predict(seeds(8, *SMALL)), predict(seeds(40, *SMALL))
    assert few is not None
    assert many is not None
    assert few.alone == many.alone
    assert (few.fused or 0) > (many.fused or 0)


@pytest.mark.parametrize(
    "line",
    [
        ["model.width=2000", "model.depth=3"],
        [*SMALL, "optimizer=lion"],
        [*SMALL, "recording=never"],
        [*SMALL, "trainer=cpu", "trainer.precision=64-true"],
    ],
    ids=" ".join,
)
def test_trial_decides_where_the_model_is_unsure(workdir: Path, line: list[str]) -> None:
    assert predict(seeds(20, *line)) is None


def test_trial_decides_for_layers_that_are_used_several_times(workdir: Path) -> None:
    specs = seeds(20, *SMALL)
    assert specs[0].probe is not None
    shared = replace(specs[0].probe, dense=False)
    assert predict([replace(spec, probe=shared) for spec in specs]) is None


def test_single_run_is_not_predicted(workdir: Path) -> None:
    assert predict(seeds(1, *SMALL)) is None


def test_no_trial_is_made_where_the_model_is_sure(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def note(*args: object) -> TimingTrial:
        tried.append("tried")
        return TimingTrial(1.0, 1.0, None, "a test")

    monkeypatch.setattr(strategy, "tried", note)
    monkeypatch.setattr(trial_cache, "recall", lambda key: None)
    monkeypatch.setattr(trial_cache, "keep", lambda key, trial: None)
    with Session():
        assert paths(plan_work([seeds(20, *SMALL)], 2, "sweep")) == {"fused"}
        assert not tried
        plan_work([seeds(20, *SMALL, "optimizer=lion")], 2, "sweep")
        assert tried
