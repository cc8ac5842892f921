"""What is printed when a run or a sweep ends."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import harness
from harness.report.summary import board_command, run_summary, sweep_summary


def test_a_run_in_words(workdir: Path) -> None:
    record = harness.run(["epochs=1", "regularizer=[l2,dropout]", "optimizer=sgd"])
    text = run_summary(record)
    assert text.startswith("completed  epochs=1,regularizer=[l2,dropout],optimizer=sgd")
    assert "mlp (26,122 parameters, relu) on digits (1149/288/360) with sgd, regularizer l2+dropout" in text
    assert f"accuracy {record.metrics['test/accuracy']:.4f}" in text
    assert str(record.folder) in text
    assert "already" in run_summary(harness.run(["epochs=1", "regularizer=[l2,dropout]", "optimizer=sgd"]))


def test_overlap_and_divergence_are_told(workdir: Path) -> None:
    with pytest.warns(UserWarning, match="stand in more than one split"):
        record = harness.run(["data=iris", "split.seed=1", "optimizer=sgd", "optimizer.lr=1e30", "batch_size=16"])
    text = run_summary(record)
    assert text.startswith("diverged")
    assert f"overlap   {record.data['overlap']} samples" in text
    assert "Diverged: the training loss became" in text
    assert "samples a second" not in text


def test_a_sweep_in_words(workdir: Path) -> None:
    records = harness.sweep(["seed=0,1", "epochs=1"])
    text = sweep_summary([*records, harness.run(["seed=0", "epochs=1"])])
    assert text.startswith("3 runs: 2 completed, 1 already complete")
    assert "harness report outputs/scratch" in text


def test_the_command_as_it_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
