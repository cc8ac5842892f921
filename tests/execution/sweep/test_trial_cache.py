"""Tests of remembered timing trials: of the same computation, for a limited time, and only successful ones."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.execution.sweep import strategy, trial_cache
from harness.execution.sweep.grouping import groups
from harness.execution.sweep.timing_trial import TOO_LITTLE, TimingTrial
from harness.execution.sweep.trial_cache import KEPT_S, keep, key, recall
from harness.system.session import Session
from tests.execution.sweep.test_grouping import prepared

GOOD = TimingTrial(alone=0.2, single=0.25, fused=0.01)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "cache"
    monkeypatch.setattr(trial_cache, "cache_folder", lambda: folder)
    with Session():
        yield folder


def test_settings_outside_the_computation_keep_the_cache_key(workdir: Path) -> None:
    first = prepared(["seed=0"], ["seed=1"])
    for line in (["study=other"], ["optimizer.lr=0.5"], ["epochs=7"], ["save=none"], ["optimizer=sgd"]):
        assert key(prepared(["seed=0", *line], ["seed=1", *line]), 2) == key(first, 2), line
    for line in (["model.width=9"], ["batch_size=32"], ["activation=tanh"], ["data=iris"]):
        assert key(prepared(["seed=0", *line], ["seed=1", *line]), 2) != key(first, 2), line
    assert key(prepared(*([f"seed={seed}"] for seed in range(5))), 2) != key(first, 2)  # a larger stack


def test_kept_trial_expires(cache: Path) -> None:
    assert recall("a") is None
    keep("a", GOOD)
    assert recall("a") == GOOD
    (path,) = cache.rglob("*.json")
    long_ago = time.time() - KEPT_S - 60
    os.utime(path, (long_ago, long_ago))
    assert recall("a") is None


def test_failed_trial_is_not_kept(cache: Path) -> None:
    for bad in (replace(GOOD, fused=None, why="cannot be fused: it is odd"), replace(GOOD, deadly=True)):
        keep("a", bad)
    assert not cache.exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"alone": 1}', "\xff"])
def test_torn_file_is_ignored(cache: Path, text: str) -> None:
    keep("a", GOOD)
    (path,) = cache.rglob("*.json")
    path.write_text(text)
    assert recall("a") is None


def test_unwritable_cache_is_ignored(cache: Path) -> None:
    cache.write_text("a file stands here")
    keep("a", GOOD)
    assert recall("a") is None


def test_next_sweep_of_a_computation_makes_no_trial(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["model=mlp", "model.width=8", "epochs=1", "seed=0,1"]
    harness.sweep([*line, "study=first"])
    monkeypatch.setattr(strategy, "tried", lambda *_: pytest.fail("it was tried again"))
    with Session():  # as in another process
        records = harness.sweep([*line, "study=second", "optimizer.lr=0.1"])
    assert {record.status for record in records} == {"completed"}
    assert all(record.cohort["why"].startswith("expected: ") for record in records)


def test_stack_is_tried_once_the_sweep_is_long_enough(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [replace(GOOD, fused=None, why=TOO_LITTLE), GOOD]
    monkeypatch.setattr(strategy, "predict", lambda group: None)
    monkeypatch.setattr(strategy, "tried", lambda *_: answers.pop(0))
    few, many = (prepared(*([f"seed={seed}", f"epochs={n}"] for seed in range(2))) for n in (1, 1000))
    for members, path in ((few, "alone"), (few, "alone"), (many, "fused"), (many, "fused")):
        assert {item.plan.path for item in strategy.plan_work(groups(members), 2, "sweep")} == {path}
    assert answers == []
