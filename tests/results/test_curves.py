"""Tests of reading curves.csv."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness import HarnessError
from harness.results.record import Record, write


def test_curves_are_read_by_record_and_by_folder(tmp_path: Path) -> None:
    record = Record("0" * 12, "seed=0", "s", "completed", folder=tmp_path / "run")
    record.folder.mkdir()
    write(record)
    (record.folder / "curves.csv").write_text("step,epoch,metric,value\n3,0,train/loss,0.5\n4,0,tr")
    rows = [(3, 0, "train/loss", 0.5)]
    assert harness.read_curves(record) == harness.read_curves(record.folder) == rows
    assert harness.read_curves(str(record.folder)) == rows


def test_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="no record of a run"):
        harness.read_curves(tmp_path)
