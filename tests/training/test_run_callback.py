"""Tests of the callbacks of a run, through the public functions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.results.record import read

LINE = ["data=iris", "epochs=2", "logger=[]", "model.width=8", "model=mlp"]


class Calls(harness.RunCallback):
    def __init__(self) -> None:
        self.names: list[str] = []
        self.epochs: list[tuple[float, int, int]] = []
        self.records: list[harness.Record] = []

    def on_run_start(self, run: Any) -> None:
        self.names.append("start")

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        self.names.append("epoch")
        self.epochs.append((metrics["train/loss"], step, epoch))

    def on_diagnostics(self, values: Mapping[str, Any], step: int, epoch: int) -> None:
        assert all("/" in tag for tag in values)
        self.names.append("diagnostics")

    def on_training_end(self, state: Any) -> None:
        self.names.append("trained")

    def on_run_end(self, record: harness.Record) -> None:
        assert read(record.folder) == record
        self.names.append("end")
        self.records.append(record)


def test_methods_are_called_in_the_order_of_a_run(workdir: Path) -> None:
    calls = Calls()
    record = harness.run(LINE, callbacks=[calls])
    order = [name for name in calls.names if name != "diagnostics"]
    assert order == ["start", "epoch", "epoch", "trained", "end"]
    assert "diagnostics" in calls.names
    steps = record.time["steps"] // 2
    assert [row[1:] for row in calls.epochs] == [(steps, 0), (2 * steps, 1)]
    assert calls.epochs[-1][0] == record.metrics["train/loss"]
    assert [r.id for r in calls.records] == [record.id]


def test_cached_run_calls_nothing(workdir: Path) -> None:
    harness.run(LINE)
    calls = Calls()
    assert harness.run(LINE, callbacks=[calls]).cached
    assert calls.names == []


@pytest.mark.parametrize("method", ["on_run_start", "on_epoch_end", "on_diagnostics", "on_training_end"])
def test_exception_is_the_failure_of_the_run(workdir: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    def raising(*_: Any) -> None:
        raise ValueError("of the callback")

    monkeypatch.setattr(Calls, method, raising)
    record = harness.run(LINE, callbacks=[Calls()])
    assert (record.status, (record.error or {}).get("message")) == ("failed", "of the callback")
    assert read(record.folder) == record


def test_exception_after_the_run_is_a_warning_in_its_record(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: Any) -> None:
        raise ValueError("too late")

    monkeypatch.setattr(Calls, "on_run_end", raising)
    record = harness.run(LINE, callbacks=[Calls()])
    assert record.status == "completed"
    assert record.warnings == ["a callback failed after the run: ValueError: too late"]
    assert read(record.folder) == record
