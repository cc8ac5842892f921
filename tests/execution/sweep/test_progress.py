"""Tests of the progress of cohorts: noted by the process that trains, read by others."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.execution.locks.run_lock import RunLocks, holders
from harness.execution.sweep import progress
from harness.execution.sweep.progress import EpochProgress, LiveCohort, cohorts

IDS = ["a" * 12, "b" * 12]
TRAINS = """
import sys
from pathlib import Path
from harness.execution.locks.run_lock import RunLocks
from harness.execution.sweep.progress import EpochProgress
with RunLocks(Path(sys.argv[1]), beat_s=0.02) as claims:
    claims.claim(sys.argv[2:])
    pace = EpochProgress(claims, sys.argv[2:], 9)
    pace._noted = -1e9
    pace.on_epoch_end({}, 1, 3)
    print("ready", flush=True)
    sys.stdin.read()
assert "torch" not in sys.modules
"""


def test_progress_of_this_process_is_current(tmp_path: Path) -> None:
    with RunLocks(tmp_path, beat_s=60) as claims:
        claims.claim(IDS)
        assert cohorts(tmp_path) == [LiveCohort(frozenset(IDS), 2, 0, 0)]
        pace = EpochProgress(claims, IDS, 5)
        for epoch in range(3):
            pace.on_epoch_end({}, 1, epoch)  # the first member
            pace.on_epoch_end({}, 1, epoch)  # the second member
        assert cohorts(tmp_path) == [LiveCohort(frozenset(IDS), 2, 3, 5)]
        alone = EpochProgress(claims, IDS[:1], 5)
        alone.on_epoch_end({}, 1, 0)
        assert cohorts(tmp_path) == [LiveCohort(frozenset(IDS), 1, 1, 5)]
    assert cohorts(tmp_path) == []


def test_progress_of_another_process_is_that_of_its_last_heartbeat(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TRAINS, str(tmp_path), *IDS]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 30
    while cohorts(tmp_path) != [LiveCohort(frozenset(IDS), 2, 4, 9)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.communicate("", timeout=30)
    assert process.returncode == 0
    assert cohorts(tmp_path) == []


def test_epochs_of_a_cohort_are_noted_once_in_half_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, noted = [100.0], []
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    with RunLocks(tmp_path, beat_s=60) as claims:
        claims.claim(IDS)
        monkeypatch.setattr(claims, "note", lambda ids, **what: noted.append(what["epoch"]))
        pace = EpochProgress(claims, IDS, 10_000)
        for epoch in range(100):
            clock[0] += 0.02
            for _ in IDS:
                pace.on_epoch_end({}, 1, epoch)
        assert noted == [0, 26, 52, 78]
        assert next(iter(holders(tmp_path).values()))["note"] == {}
