"""Tests of a book of claims whose command is killed: it goes on from the runs that were completed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
COMMAND = [sys.executable, "-m", "harness", "claims", "mae-robust", "norm-fast", "--quick"]


@pytest.mark.skipif(os.name != "posix", reason="kills a process group")
@pytest.mark.timeout(600)
def test_killed_book_goes_on_and_says_the_same(workdir: Path) -> None:
    def run_in(folder: str) -> str:
        return subprocess.run(COMMAND, cwd=folder, check=True, capture_output=True, text=True).stdout

    Path("whole").mkdir()
    whole = run_in("whole")
    Path("killed").mkdir()
    for completed in (1, 20, 40):
        process = subprocess.Popen(COMMAND, cwd="killed", start_new_session=True, stdout=subprocess.DEVNULL)
        while process.poll() is None and _completed() < completed:
            time.sleep(0.05)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = {
        path: path.stat().st_mtime_ns for path in Path("killed/outputs").rglob("record.json") if _is_complete(path)
    }
    assert before
    assert run_in("killed") == whole
    assert {path: path.stat().st_mtime_ns for path in before} == before


def _completed() -> int:
    return sum(_is_complete(path) for path in Path("killed/outputs").rglob("record.json"))


def _is_complete(record: Path) -> bool:
    return '"status": "completed"' in record.read_text(encoding="utf-8")
