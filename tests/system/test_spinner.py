"""Tests of the spinner: shown on a terminal during a long wait, and never in a pipe."""

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


def test_terminal_shows_a_spinner_for_slow_work(tmp_path: Path) -> None:
    terminal = Terminal([sys.executable, "-c", SLOW], tmp_path, environment(TERM="xterm"))
    shown, _ = terminal.until("done")
    assert "loading torch" in shown
    terminal.rest()


def test_pipe_gets_no_spinner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(spinner, "SILENT_S", 0.0)
    with spinner.Spinner("loading torch"):
        pass
    assert capsys.readouterr().err == ""


def test_cell_of_a_notebook_gets_no_spinner(tmp_path: Path) -> None:
    where = environment(TERM="xterm", JPY_PARENT_PID="1")
    shown, _ = Terminal([sys.executable, "-c", SLOW], tmp_path, where).rest()
    assert shown.strip() == "done"


RUN = """
from harness.system import spinner
from harness.cli import main
spinner.SILENT_S = 0.0
main(["data=iris", "epochs=2", "logger=[]", "diagnostic=[]"])
"""


def test_run_shows_that_it_is_loading_and_then_its_epochs(tmp_path: Path) -> None:
    terminal = Terminal([sys.executable, "-c", RUN], tmp_path, environment(TERM="xterm"))
    shown, _ = terminal.until("loading torch and Lightning")
    assert "epoch" not in shown
    rest, status = terminal.rest()
    assert status == 0
    assert "loading" not in rest[rest.index("epoch") :]
    assert "completed" in rest
