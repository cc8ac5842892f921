"""Tests of the lines printed at the end of a run or a sweep."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import harness
from harness.analysis.report.summary import _baseline as baseline_of
from harness.analysis.report.summary import board_command, run_summary, sweep_summary
from harness.results.record import Record
from tests.cli.sweeps import RAISED, ended
from tests.helpers.comparing import install
from tests.helpers.comparisons import single_seed

ALONE = "single runs, which says nothing about seeds"


@pytest.fixture(autouse=True)
def nothing_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps of one seed: `test_outcome.py` has the others."""
    install(monkeypatch, replace(single_seed(), more=""))


def test_run_summary_names_model_data_metrics_and_folder(workdir: Path) -> None:
    record = harness.run(["epochs=1", "regularizer=[l2,dropout]", "optimizer=sgd"])
    text = run_summary(record)
    assert text.startswith("completed  epochs=1,regularizer=[l2,dropout],optimizer=sgd")
    assert "mlp (26,122 parameters, relu) on digits (1149/288/360) with sgd, regularizer l2+dropout" in text
    assert f"accuracy {record.metrics['test/accuracy']:.4f}" in text
    assert str(record.folder.relative_to(workdir)) in text
    assert str(workdir) not in text
    assert "already" in run_summary(harness.run(["epochs=1", "regularizer=[l2,dropout]", "optimizer=sgd"]))


def test_run_summary_reports_overlap_and_divergence(workdir: Path) -> None:
    with pytest.warns(UserWarning, match="are in more than one split"):
        record = harness.run(["data=iris", "split.seed=1", "optimizer=sgd", "optimizer.lr=1e30", "batch_size=16"])
    text = run_summary(record)
    assert text.startswith("diverged")
    assert f"overlap   {record.data['overlap']} samples" in text
    assert "Diverged: the training loss became" in text
    assert "samples a second" not in text


def test_sweep_summary_names_counts_best_run_and_path(workdir: Path) -> None:
    records = harness.sweep(["seed=0,1", "epochs=1"])
    text = sweep_summary([*records, harness.run(["seed=0", "epochs=1"])])
    assert text.startswith("3 runs: 2 completed, 1 already complete")
    best = re.escape(f"{max(r.objective for r in records):.4g}")
    assert re.search(rf"\n  best      val/accuracy {best}  seed=\d,epochs=1  highest of 2 single runs, which ", text)
    assert re.search(r"\n  path      (alone|fused) 2 (in this process|over loky workers) \(", text)  # a trial chose
    assert "harness report outputs/scratch" in text


def test_sweep_summary_groups_incomplete_runs_by_reason() -> None:
    failed = [ended(n, "failed", error=RAISED, time={"epochs": 3}) for n in range(2)]
    odd = ended(9, "interrupted", error={"type": "FailFast", "message": "fail_fast=true", "traceback": None})
    wild = [ended(n, "diverged", name=f"optimizer.lr=1e30,seed={n},epochs=2") for n in range(10, 16)]
    text = sweep_summary([ended(20), ended(21, cached=True), *wild, odd, *failed], (4.0, 2.7))
    assert text.splitlines()[:8] == [
        "11 runs: 1 completed, 1 already complete, 2 failed, 1 interrupted, 6 diverged",
        "  failed       regularizer=[l2,dropout],seed=0,epochs=2  epoch 3  RuntimeError: no [bold]room[/bold] for it",
        "  failed       regularizer=[l2,dropout],seed=1,epochs=2  epoch 3  RuntimeError: no [bold]room[/bold] for it",
        "  interrupted  regularizer=[l2,dropout],seed=9,epochs=2           fail_fast=true",
        "  diverged     6 runs of optimizer.lr=1e30                        the training loss became nan",
        "  trace     outputs/s/a/record.json",
        f"  best      val/accuracy 0.5  regularizer=[l2,dropout],seed=20,epochs=2  highest of 2 {ALONE}",
        "  path      fused 10 over loky workers (a trial)",
    ]
    assert "\n  time      4.0 s; training 2.7 s, 270 ms a run\n" in text


def test_sweep_summary_fits_a_terminal_and_shortens_names() -> None:
    long = {"type": "RuntimeError", "message": "very " * 50, "traceback": None}
    records = [ended(n, "failed", error=long, name=f"{'model=mlp,' * 9}seed={n},epochs=2") for n in range(2)]
    lines = sweep_summary(records, width=60).splitlines()[1:3]
    assert [len(line) for line in lines] == [60, 60]
    assert lines[0].startswith("  failed  seed=0    RuntimeError: very very")
    assert lines[0].endswith("…")


def test_sweep_summary_shows_at_most_twenty_rows() -> None:
    records = [ended(n, "failed", error=RAISED | {"message": f"reason {n}"}) for n in range(30)]
    same = [ended(n, "failed", error=RAISED) for n in range(30, 40)]
    lines = sweep_summary([*records, *same]).splitlines()
    assert sum(line.startswith("  failed") for line in lines) == 20
    assert "  and 20 more: harness report outputs/s" in lines


def test_best_completed_run_follows_the_metrics_direction() -> None:
    def loss(number: int, value: float, status: str = "completed") -> Record:
        best = {"val/loss": {"value": value, "epoch": 0, "higher_is_better": False}}
        more = {"config": {"objective": "val/loss"}, "metrics": {"val/loss": value}, "best": best}
        return ended(number, status, **more)

    records = [ended(0, value=0.2), ended(1, value=0.9), ended(2, value=float("nan"))]
    records += [loss(3, 0.5), loss(4, 0.1, "failed"), loss(5, 0.3), ended(6, value=1.0, best={})]
    best = [line[12:] for line in sweep_summary(records).splitlines() if line.startswith("  best")]
    assert best == [
        f"val/accuracy 0.9  regularizer=[l2,dropout],seed=1,epochs=2  highest of 3 {ALONE}",
        f"val/loss 0.3  regularizer=[l2,dropout],seed=5,epochs=2  lowest of 2 {ALONE}",
    ]


def test_several_reasons_for_a_path_are_counted() -> None:
    why = ["a", "b", "b", "c"]
    records = [ended(n, cohort={"path": "alone", "executor": "in_process", "why": w}) for n, w in enumerate(why)]
    assert "\n  path      alone 4 in this process (a; and 2 more reasons)\n" in sweep_summary(records)


def test_board_command_can_be_typed_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "harness"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", "/nowhere")
    assert board_command(Path("a b")) == "bin/harness board 'a b'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert board_command(Path("a")) == "harness board a"


def test_baseline_is_shown_with_its_metric() -> None:
    share = {"class": "mid", "train": 0.5, "val": 0.6, "test": 0.61}
    error = {"value": [3.0], "train": 2.0, "val": 2.5, "test": 2.25}
    counts = {"classes": {"train": 4, "val": 4, "test": 4}}
    always = "majority  61%: the accuracy on test of answering 'mid' always"
    for key, statistics, metrics, words in (
        ("majority", share, ["test/accuracy"], always),
        ("majority", share | counts, ["test/accuracy", "test/balanced_accuracy"], f"{always}; balanced_accuracy 25%"),
        ("majority", share, ["val/accuracy"], "majority  60%: the accuracy on val of answering 'mid' always"),
        ("mean", error, ["test/mse"], "mean      mse 2.25: predicting the training mean on test"),
        ("mean", error, ["test/mse", "test/r2"], "mean      mse 2.25, r2 0: predicting the training mean on test"),
        ("median", error, ["test/mae"], "median    mae 2.25: predicting the training median on test"),
    ):
        record = ended(1, "completed", metrics=dict.fromkeys(metrics, 0.5))
        record.data[key] = statistics
        assert baseline_of(record) == [f"  {words}"]
        record.metrics.clear()
        assert baseline_of(record) == []
