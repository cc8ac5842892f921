"""Tests of optimizers whose steps depend on other members: found by checks, and trained without a stack."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.execution.sweep import trial_cache
from harness.execution.sweep.timing_trial import TimingTrial
from harness.registry import catalogue
from harness.system.session import Session
from harness.testing.suite import CHECKS, Subject
from harness.testing.training import LOADER, composed, same, trained
from harness.training.fit import Run
from harness.training.vectorized.lifting import RestackDifferently, TrainSeparately
from tests.testing.faults import EXPECTED, company

pytestmark = pytest.mark.usefixtures("planted")
LINE = ["split.test=0.6", "split.val=0.2", "batch_size=60", "epochs=5", "model.width=13", "model.depth=2", "model=mlp"]
TRIED = ((3, 0.01), (5, 0.003), (9, 0.01))  # seeds and learning rates
ITERATORS = {"counter_of_all", "running_generator", "endless_iterator"}


@functools.cache
def config(name: str, seed: int, lr: float) -> dict[str, Any]:
    values = composed((*LINE, f"optimizer={name}")).values
    return values | {"seed": seed, "optimizer": values["optimizer"] | {"lr": lr}}


def stacked(name: str, members: Any) -> list[Run]:
    """Train a stack as a cohort does, again if it was not exact. Raises TrainSeparately."""
    configs = [config(name, *member) for member in members]
    while True:
        try:
            return trained(configs, LOADER.load(configs[0]).dataset)
        except RestackDifferently:
            continue


def alone(name: str, member: tuple[int, float]) -> Run:
    (run,) = trained([config(name, *member)], LOADER.load(config(name, *member)).dataset, fused=False)
    return run


def test_each_sort_of_planted_optimizer_exists() -> None:
    assert len(company.BY) >= 20
    assert {"member", "run"} == set(company.BY.values())


@pytest.mark.parametrize("name", company.BY)
def test_optimizer_is_exact_in_a_stack_or_in_none(name: str) -> None:
    first = alone(name, TRIED[2])
    if company.BY[name] == "run":
        with pytest.raises(TrainSeparately) as apart:
            stacked(name, TRIED)
        assert apart.value.rows == {0, 1, 2}
    else:
        whole = stacked(name, TRIED)
        (padded,) = stacked(name, TRIED[2:])
        assert same(padded, whole[2])
        losses = [run.state.metrics["train/loss"] for run in (first, padded)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-4, abs=1e-6), "views are stepped as parameters are"
    if EXPECTED.get(f"optimizer/{name}") != "globals" and name not in ITERATORS:  # these cannot be restored
        assert same(alone(name, TRIED[2]), first), "another run of the process has changed it"


def test_sweep_gives_the_metrics_of_each_run_alone(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that cannot be stacked leave, at the first step or late; the others are stacked again."""
    monkeypatch.setattr(trial_cache, "recall", lambda key: TimingTrial(1.0, 1.0, 0.01))  # a stack is fastest
    ways = {"sgd": "fused", "number_on_self": "fused", "late_mean": "fused", "cache_by_shape": "alone"}
    ways["late_global"] = "alone"
    line = [*LINE, "executor=in_process", "logger=[]", "save=none", "diagnostic=[]", "optimizer.lr=0.01"]
    with Session():  # as if the optimizers were unknown
        records = harness.sweep([*line, f"optimizer={','.join(ways)}", "seed=3,5"])
    took = [(r.choices["optimizer"], r.cohort["path"]) for r in records]
    assert took == [pair for pair in ways.items() for _ in range(2)]
    assert {r.status for r in records} == {"completed"}
    whys = {r.choices["optimizer"]: r.cohort["why"] for r in records}
    for name in ("cache_by_shape", "late_global"):
        assert f"optimizer {name}: it keeps a state outside of the optimizer: planted.company." in whys[name]
    assert not any("halved" in why for why in whys.values())
    for record in records[1::2]:
        name = record.choices["optimizer"]
        metrics: dict[str, dict[str, float]] = {}
        for way in {"alone", ways[name]}:
            run = harness.run([*line, f"optimizer={name}", "seed=5", f"path={way}", f"study={way}"])
            assert run.status == "completed"
            metrics[way] = run.metrics
        assert record.metrics == metrics[ways[name]], name
        loss = metrics["alone"]["train/loss"]
        assert record.metrics["train/loss"] == pytest.approx(loss, rel=1e-4, abs=1e-6), "rounding apart, it is the same"


@pytest.mark.parametrize("name", company.BY)
def test_checks_find_optimizers_that_are_not_exact(name: str) -> None:
    subject = Subject(catalogue.current().get("optimizer", name))
    wrong = [check for check in CHECKS if check in WANTED and subject.result(check).status == "failed"]
    if f"optimizer/{name}" in EXPECTED:
        # an iterator cannot be restored: which check sees it first depends on the runs before
        expected = [[EXPECTED[f"optimizer/{name}"]], *([["company"]] if name in ITERATORS else [])]
        assert wrong in expected
    else:
        assert wrong == [] or company.BY[name] == "run", [subject.result(check) for check in wrong]


WANTED = ("builds", "globals", "repeats", "company", "resumes")
