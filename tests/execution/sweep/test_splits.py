"""Tests of stacks whose members have their own data sets, and of the data sets held by a sweep over splits."""

from __future__ import annotations

import csv
import gc
import pickle
import weakref
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.datasets import loading
from harness.datasets.dataset import Dataset
from harness.results.record import Record
from tests.execution.sweep.test_grouping import prepared

TINY = ["model=mlp", "model.width=8", "epochs=1", "executor=in_process", "split.seed=${seed}", "diagnostic=[]"]
LINES = {
    "split": TINY,
    "split and labels": [*TINY, "corruption=[label_noise]", "corruption.label_noise.p=0.3"],
}


def curves(record: Record) -> dict[tuple[str, str], float]:
    """Return {(step, metric): value}."""
    with open(record.folder / "curves.csv", newline="") as file:
        return {(row["step"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("case", LINES)
def test_fused_members_of_different_data_match_runs_alone(workdir: Path, case: str) -> None:
    line = [*LINES[case], "seed=0,1,2,3"]
    fused = harness.sweep([*line, "path=fused", "study=fused"])
    alone = harness.sweep([*line, "path=alone", "study=alone"])
    assert [r.cohort["size"] for r in fused] == [4] * 4
    assert len({r.data["digest"] for r in fused}) == 4
    for one, other in zip(fused, alone, strict=True):
        assert one.data == other.data
        assert one.metrics["train/loss"] == pytest.approx(other.metrics["train/loss"], rel=1e-4)
        assert curves(one) == pytest.approx(curves(other), rel=1e-4)
    assert len({r.metrics["test/loss"] for r in fused}) == 4


@pytest.mark.parametrize("case", LINES)
def test_member_of_own_data_is_bitwise_independent_of_the_others(workdir: Path, case: str) -> None:
    line = [*LINES[case], "path=fused"]
    whole = {r.id: r for r in harness.sweep([*line, "seed=0,1,2,3", "study=whole"])}
    for number, seeds in enumerate(("2", "3,1", "1,2,0")):
        some = harness.sweep([*line, f"seed={seeds}", f"study=some{number}"])
        assert len({r.data["digest"] for r in some}) == len(some)
        for record in some:
            assert record.metrics == whole[record.id].metrics
            assert curves(record) == curves(whole[record.id])


def test_member_of_own_data_equals_one_of_shared_data(workdir: Path) -> None:
    line = [word for word in TINY if not word.startswith("split")] + ["path=fused"]
    shared = harness.sweep([*line, "seed=0,1", "split.seed=1", "study=shared"])
    own = harness.sweep([*TINY, "path=fused", "seed=0,1", "study=own"])
    assert own[1].id == shared[1].id
    assert own[1].metrics == shared[1].metrics


def test_pickled_run_spec_holds_no_data(workdir: Path) -> None:
    (member,) = prepared([])
    text = pickle.dumps(member)
    assert len(text) < member.facts.bytes / 10
    assert len(text) < 50_000
    other = pickle.loads(text)
    assert other.loader is None
    assert (other.record.id, other.plan, other.facts) == (member.record.id, member.plan, member.facts)
    assert member.loader is not None  # pickling does not change it
    assert isinstance(member.dataset, Dataset)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the data sets in memory after each loading."""
    whole, loaded, counts = loading.load, [], []

    def load(values: dict[str, Any]) -> Any:
        alive_counts = whole(values)
        loaded.append(weakref.ref(alive_counts.dataset.train))
        gc.collect()
        counts.append(sum(one() is not None for one in loaded))
        return alive_counts

    monkeypatch.setattr(loading, "load", load)
    return counts


def test_sweep_over_splits_of_large_data_holds_at_most_two(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, alive: list[int]
) -> None:
    monkeypatch.setattr(loading, "KEPT_BYTES", 1)
    monkeypatch.setattr("harness.execution.sweep.grouping.SHARED_BYTES", 1)  # too large to be stacked with others
    records = harness.sweep([*TINY, "seed=range(0,12)"])
    assert [r.status for r in records] == ["completed"] * 12
    assert len(alive) >= 24  # each loaded when prepared and when trained
    assert max(alive) <= 2


def test_small_data_is_loaded_once_for_all(workdir: Path, alive: list[int]) -> None:
    harness.sweep([*TINY, "path=alone", "seed=range(0,4)"])
    assert alive == [1, 2, 3, 4]
