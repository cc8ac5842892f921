"""Tests of live progress: plain lines in a pipe, a bar or a table on a terminal."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

import pytest

from harness.cli.live.progress import EVERY_S, RunProgress, SweepProgress
from harness.execution.sweep.callbacks import PlannedRuns, SweepPlan, active
from harness.execution.sweep.progress import LiveCohort
from harness.results.record import Record
from tests.cli.sweeps import RAISED, ended, terminal, text
from tests.cli.terminal import Terminal
from tests.helpers.commands import HARNESS, environment, harness

QUICK = ("data=moons", "epochs=3", "logger=[]")
WAY = PlannedRuns("fused", "loky", "why", 10_000, 40)
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def test_pipe_gets_plain_progress_lines_and_a_clean_standard_output(workdir: Path) -> None:
    done = harness("-m", "seed=0,1", *QUICK, cwd=workdir)
    first, *lines = done.stderr.splitlines()
    assert first.startswith("2 runs: 0 already complete, 2 to train; ")
    assert [line.split()[0] for line in lines] == ["1/2", "2/2"]
    assert all("completed" in line and "val/loss" in line for line in lines)
    assert "\x1b" not in done.stderr + done.stdout
    assert done.stdout.startswith("2 runs: 2 completed\n")
    assert "harness report outputs/scratch" in done.stdout


def test_terminal_shows_a_bar_that_is_erased_at_the_end(workdir: Path) -> None:
    terminal = Terminal([HARNESS, *QUICK], workdir, environment(TERM="xterm", COLUMNS="120", LINES="40"))
    shown, status = terminal.rest()
    assert status == 0
    assert "\x1b[2K" in shown  # a line that is erased
    plain = CONTROL.sub("", shown)
    assert "epoch 1/3 " not in plain  # no lines beside the bar
    assert re.search(r"epoch .*[━╸].*[0-3]/3", plain)
    assert "test      loss" in plain
    last = shown.rpartition("\x1b[2K")[2]
    assert "━" not in last


def test_progress_lines_are_few_and_include_first_and_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(1000) as progress:
        for epoch in range(1000):
            progress.on_epoch_end({"train/loss": 1 / (epoch + 1), "train/lr": 0.1}, epoch, epoch)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "epoch 1/1000  train/loss 1"
    assert lines[-1] == "epoch 1000/1000  train/loss 0.001"
    assert len(lines) <= 3


def test_names_with_brackets_are_shown_verbatim(capsys: pytest.CaptureFixture[str]) -> None:
    record = Record("0" * 12, "regularizer=[l2],seed=1", "s", status="completed", metrics={"val/loss": float("nan")})
    with SweepProgress() as progress:
        active().on_run_end(0, None, record)
        active().on_run_end(1, 2, record)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "1  regularizer=[l2],seed=1  completed  val/loss nan",
        "2/2  regularizer=[l2],seed=1  completed  val/loss nan",
    ]
    assert progress.records == [record, record]


def test_terminal_shows_a_table_that_is_erased_at_the_end(workdir: Path) -> None:
    where = environment(TERM="xterm", COLUMNS="80", LINES="40")
    terminal = Terminal([HARNESS, "-m", "seed=0,1,2", *QUICK], workdir, where)
    shown, status = terminal.rest()
    assert status == 0
    before, _, last = shown.rpartition("\x1b[2K")
    assert last.lstrip("\r").startswith("3 runs: 3 completed\r\n")
    assert "\x1b[?25l" in before
    assert before.rindex("\x1b[?25h") > before.rindex("\x1b[?25l")  # the cursor is shown again
    plain = CONTROL.sub("", before)
    assert "0 of 3 runs  3 left" in plain
    assert "best run  val/accuracy" in plain
    assert "2/3 " not in plain  # no lines beside the table


def test_ctrl_c_leaves_a_clean_terminal() -> None:
    console = terminal()

    def sweep() -> None:
        with SweepProgress(console):
            active().on_sweep_start(3)
            active().on_run_end(0, 3, ended(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep()
    shown = text(console)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert shown.endswith("\x1b[2K")
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


@pytest.mark.parametrize(("name", "value"), [("TERM", "dumb"), ("JPY_PARENT_PID", "1")])
def test_terminal_that_cannot_erase_gets_lines(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    console = terminal()
    with SweepProgress(console):
        active().on_run_end(0, 1, ended(0))
    assert text(console) == f"1/1  {ended(0).name}  completed  val/accuracy 0.5\n"


def test_large_sweep_gets_lines_for_failures_and_few_others(capsys: pytest.CaptureFixture[str]) -> None:
    runs = 10_000
    with SweepProgress() as progress:
        active().on_sweep_start(runs)
        active().on_sweep_planned(SweepPlan({f"{n:012x}": ended(n).name for n in range(runs)}, frozenset(), (WAY,)))
        for number in range(runs):
            if number == 5_000:
                progress._printed -= 2 * EVERY_S
            active().on_run_end(number, runs, ended(number, "failed" if number == 7 else "completed", error=RAISED))
    first, failed, counts, *more = capsys.readouterr().err.splitlines()
    assert first == "10000 runs: 0 already complete, 10000 to train; fused 10,000 over loky workers in 40 stacks (why)"
    assert failed == f"8/10000  {ended(7).name}  failed  RuntimeError: no [bold]room[/bold] for it"
    assert counts.startswith("5001/10000  5000 completed, 1 failed, 4999 left; 0:0")
    assert len(more) < 5


def test_long_silence_is_broken_by_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cli.live.progress.QUIET_S", 0.01)
    with SweepProgress() as progress:
        active().on_sweep_start(8)
        progress.standing.cohorts = [LiveCohort(frozenset("ab"), 2, 3, 9)]
        monkeypatch.setattr(progress.standing, "refresh", lambda: None)
        time.sleep(0.2)
    assert "0/8  8 left; 0:00 elapsed, - left; 2 at epoch 3/9\n" in capsys.readouterr().err
