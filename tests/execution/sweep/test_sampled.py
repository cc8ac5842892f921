"""Tests of the sampled check: one run of a fused sweep with plugin components is trained again and compared."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.execution.sweep import sampled
from harness.execution.sweep.sampled import CompanyWarning, affordable, plugins_used
from harness.results.record import Record

LINE = [
    "model=mlp",
    "model.width=8",
    "epochs=3",
    "path=fused",
    "seed=0,1,2",
    "executor=in_process",
    "logger=[]",
    "save=none",
]
PLUGIN = [*LINE, "optimizer=pytorch_optimizer_prodigy"]


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the check any cost."""
    monkeypatch.setattr(sampled, "SHARE", 1e6)


def notes_of(records: Any) -> list[Any]:
    return [record.cohort.get("sampled") for record in records]


def test_equal_run_is_noted_in_its_own_record(workdir: Path, generous: None) -> None:
    records = harness.sweep(PLUGIN)
    chosen = min(record.id for record in records)
    expected = [{"run": chosen, "epochs": 3, "equal": True} if r.id == chosen else None for r in records]
    assert notes_of(records) == expected
    assert {r.id: r.cohort for r in harness.load("scratch")} == {r.id: r.cohort for r in records}


def test_differing_run_is_noted_in_all_records_and_warned_of(
    workdir: Path, generous: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sampled.trained_again

    def moved(*args: Any, **more: Any) -> Any:
        member = whole(*args, **more)
        member.history[1]["train/loss"] += 1e-15
        return member

    monkeypatch.setattr(sampled, "trained_again", moved)
    with pytest.warns(CompanyWarning, match=r"train/loss of epoch 2 is .* optimizer/pytorch_optimizer_prodigy\. "):
        records = harness.sweep(PLUGIN)
    assert [note["equal"] for note in notes_of(records)] == [False] * 3


def test_check_that_costs_too_much_is_skipped_and_noted(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "SHARE", 1e-6)
    notes = [note for note in notes_of(harness.sweep(PLUGIN)) if note]
    assert [note["skipped"] for note in notes] == ["it would cost more than 0% of the sweep's time"]


def test_components_of_harness_are_not_compared(workdir: Path, generous: None) -> None:
    assert notes_of(harness.sweep(LINE)) == [None] * 3


def test_plugins_used_includes_list_kinds() -> None:
    config = {"optimizer": {"_component_": "adam"}, "regularizer": {"l2": {"_component_": "l2", "strength": 1.0}}}
    assert plugins_used(config) == []
    assert plugins_used({"optimizer": {"_component_": "pytorch_optimizer_lion"}, "seed": 1}) == [
        "optimizer/pytorch_optimizer_lion"
    ]


def test_plugins_used_ignores_unused_kinds() -> None:
    none = {"_component_": "none"}  # a surface has no activation, an estimator no optimizer
    assert plugins_used({"activation": none, "optimizer": none, "data": {"_component_": "rosenbrock"}}) == []


def test_affordable_epochs() -> None:
    record = Record("0" * 12, "x", "y", time={"fit_s": 10.0, "epochs": 10}, cohort={"size": 16})
    assert [affordable(record, seconds) for seconds in (1.0, 12.1, 42.1, 1e6)] == [0, 1, 4, 10]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert affordable(Record("0" * 12, "x", "y"), 1e6) == 0
