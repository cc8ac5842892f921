"""A spinner on a terminal where a person would wait in silence, and nothing in files and pipes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.system import spinner
from tests.cli.terminal import Terminal
from tests.helpers.commands import environment

SLOW = """
import time
from harness.system.spinner import Spinner
with Spinner("loading torch"):
    time.sleep(1.5)
print("done")
"""


def test_a_terminal_shows_what_takes_long(tmp_path: Path) -> None:
    terminal = Terminal([sys.executable, "-c", SLOW], tmp_path, environment(TERM="xterm"))
    shown, _ = terminal.until("done")
    assert "loading torch" in shown
    terminal.rest()


def test_a_pipe_gets_no_spinner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(spinner, "SILENT_S", 0.0)
    with spinner.Spinner("loading torch"):
        pass
    assert capsys.readouterr().err == ""
