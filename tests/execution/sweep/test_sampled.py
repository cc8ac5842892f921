"""Tests of the sampled check: one run of a fused sweep with plugin components is trained again and compared."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.execution.sweep import sampled
from harness.execution.sweep.sampled import Clock, CompanyWarning, epoch_s, plugins_used
from harness.results.record import Record
from tests.helpers.planted import planted

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
    monkeypatch.setattr(sampled, "SHORT_S", math.inf)
    notes = [note for note in notes_of(harness.sweep(PLUGIN)) if note]
    assert [note["skipped"] for note in notes] == ["an epoch would cost more than 0% of the sweep's time"]


def test_long_sweep_repeats_at_least_one_epoch(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "SHARE", 1e-6)
    monkeypatch.setattr(sampled, "SHORT_S", 0.0)
    notes = [note for note in notes_of(harness.sweep(PLUGIN)) if note]
    assert [(note["epochs"], note["equal"]) for note in notes] == [(1, True)]


@pytest.mark.parametrize(
    ("seconds", "times", "epochs"),
    [
        (10.0, [1.0] * 20, 9),  # after nine, a tenth would end at 10.0 with nothing to spare, and the start took some
        (10.0, [4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0], 6),  # the first includes the start
        (10.0, [6.0, 1.0], 1),
        (10.0, [1.0, 1.0, 5.0, 1.0], 3),  # slower than before: as long again would be too late
        (0.5, [1.0, 1.0], 1),  # one epoch at least
    ],
)
def test_clock_ends_training_before_the_epoch_that_would_exceed_the_time(
    seconds: float, times: list[float], epochs: int
) -> None:
    moments = [100.0]
    clock = Clock(seconds, now=lambda: moments[-1])
    trained = 0
    for time in times:
        trained += 1
        moments.append(moments[-1] + time + 1e-9)
        if clock.enough():
            break
    assert trained == epochs
    assert moments[-1] - moments[0] <= max(seconds, times[0]) + 1e-6


def test_comparison_covers_the_epochs_within_the_clock(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(Clock):
        count = 0

        def enough(self) -> bool:
            self.count += 1
            return self.count == 2

    monkeypatch.setattr(sampled, "Clock", Two)
    monkeypatch.setattr(sampled, "SHORT_S", 0.0)
    notes = [note for note in notes_of(harness.sweep(PLUGIN)) if note]
    assert [(note["epochs"], note["equal"]) for note in notes] == [(2, True)]


COUNTING = '''
import harness
import torch

calls = 0

@harness.loss(tasks=("classification",))
def counting(prediction, target):
    """Cross-entropy, times a number that grows with every call of the process."""
    global calls
    calls += 1
    return torch.nn.functional.cross_entropy(prediction, target) * (1 + calls / 1000)
'''


def test_loss_that_counts_its_calls_is_reported(workdir: Path, generous: None, tmp_path: Path) -> None:
    (site := tmp_path / "site").mkdir()
    with planted(site, "counting-loss", COUNTING, "counting"), pytest.warns(CompanyWarning, match="loss/counting"):
        records = harness.sweep([*LINE, "loss=counting"])
    assert [found["equal"] for found in notes_of(records)] == [False] * 3


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


def test_single_run_epoch_is_estimated() -> None:
    record = Record("0" * 12, "x", "y", time={"fit_s": 10.0, "epochs": 10}, cohort={"size": 16})
    assert epoch_s(record) == pytest.approx(0.5, rel=1e-12)
    assert epoch_s(Record("0" * 12, "x", "y")) == math.inf
