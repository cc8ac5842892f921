"""What is seen while something trains: plain lines in a pipe, a bar on a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.cli.progress import RunProgress, SweepProgress
from harness.record import Record
from harness.watching import tell
from tests.cli.terminal import Terminal
from tests.helpers.commands import HARNESS, environment, harness

QUICK = ("data=moons", "epochs=3", "logger=[]")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_a_pipe_gets_plain_lines_and_the_result_alone_on_standard_output(workdir: Path) -> None:
    done = harness("-m", "seed=0,1", *QUICK, cwd=workdir)
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == ["1/2", "2/2"]
    assert all("completed" in line and "val/loss" in line for line in lines)
    assert "\x1b" not in done.stderr + done.stdout
    assert done.stdout.startswith("2 runs: 2 completed\n")
    assert "harness report outputs/scratch" in done.stdout


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(workdir: Path) -> None:
    terminal = Terminal([HARNESS, *QUICK], workdir, environment(TERM="xterm", COLUMNS="120", LINES="40"))
    shown, status = terminal.rest()
    assert status == 0
    assert "\x1b[2K" in shown  # a line that is wiped
    plain = CONTROL.sub("", shown)
    assert "epoch 1/3 " not in plain  # no lines beside the bar
    assert re.search(r"epoch .*[━╸].*[0-3]/3", plain)
    assert "test      loss" in plain
    last = shown.rpartition("\x1b[2K")[2]
    assert "━" not in last


def test_lines_are_few_and_hold_the_first_and_the_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(1000) as progress:
        for epoch in range(1000):
            progress.epoch({"train/loss": 1 / (epoch + 1), "train/lr": 0.1}, epoch, epoch)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epoch 1/1000  train/loss 1"
    assert lines[-1] == "epoch 1000/1000  train/loss 0.001"
    assert len(lines) <= 3


def test_names_that_look_like_markup_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    record = Record("0" * 12, "regularizer=[l2],seed=1", "s", status="completed", metrics={"val/loss": float("nan")})
    with SweepProgress() as progress:
        tell(0, 2, record)
        tell(1, None, record)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "1/2  regularizer=[l2],seed=1  completed  val/loss nan",
        "2  regularizer=[l2],seed=1  completed  val/loss nan",
    ]
    assert progress.records == [record, record]
