"""Tests that nothing is imported from the working folder, and none of its programs is run."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.execution.workers import environments
from harness.results import environment
from harness.system.process_id import safe_path
from harness.training.distributed import child_command

TRAP = "import pathlib; pathlib.Path({mark!r}).touch()\nraise SystemExit(99)\n"


@pytest.fixture
def trap(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with modules that create a file when imported; the path of that file."""
    searched = [folder for folder in sys.path if folder not in ("", str(workdir))]
    monkeypatch.setattr(sys, "path", searched)  # as for the command: `python -m pytest` searches the working folder
    mark = workdir / "imported"
    for name in ("absl", "torch", "loky", "submitit", "argparse", "pickle", "hydra", "yaml"):
        (workdir / f"{name}.py").write_text(TRAP.format(mark=str(mark)))
    (workdir / "harness").mkdir()
    (workdir / "harness" / "__init__.py").write_text(TRAP.format(mark=str(mark)))
    return mark


def test_board_imports_nothing_from_the_working_folder(trap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.cli.verbs import board

    (trap.parent / "outputs").mkdir()
    started: list[list[str]] = []
    monkeypatch.setattr(board, "replace_process", started.append)
    board.run(argparse.Namespace(study="outputs", unknown_words=[]))
    command = [*started[0][: started[0].index("harness.cli.tensorboard") + 1], "--helpshort"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert done.returncode in (0, 1, 2)
    assert not trap.exists()


def test_ranks_and_workers_import_nothing_from_the_working_folder(trap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)  # the environment of pytest may set it
    assert child_command("x")[:2] == [sys.executable, "-P"]
    for words in (["-c", "import pickle, argparse"], ["-m", "pickle", os.devnull]):
        with safe_path():
            subprocess.run([sys.executable, *words], check=False, capture_output=True, timeout=60)
        for extra in environments(2, "cpu"):
            variables = os.environ | extra
            subprocess.run([sys.executable, *words], check=False, capture_output=True, timeout=60, env=variables)
    assert not trap.exists()


@pytest.mark.parametrize("outside", [None, "0", "1"])
def test_environment_is_restored_by_the_last_thread(outside: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that start workers enter and leave in any order."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    if outside is not None:
        monkeypatch.setenv("PYTHONSAFEPATH", outside)
    first, second = safe_path(), safe_path()
    for step in (first.__enter__, second.__enter__, lambda: first.__exit__(None, None, None)):
        step()
        assert os.environ["PYTHONSAFEPATH"] == "1"
    second.__exit__(None, None, None)
    assert os.environ.get("PYTHONSAFEPATH") == outside


@pytest.mark.slow  # a fresh worker imports torch
def test_fresh_loky_worker_imports_nothing_from_the_working_folder(trap: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.execution import workers
    from harness_components.executors import loky_pool
    from harness_components.executors.loky_pool import Loky

    monkeypatch.setattr(workers, "can_fork", lambda: False)
    monkeypatch.setattr(loky_pool, "WARM", loky_pool.WarmPool())
    with Loky(environments(1, "cpu")) as executor:
        assert executor.submit(os.getpid).result(timeout=200) != os.getpid()
    assert not trap.exists()


def test_python_m_harness_imports_only_harness_from_the_working_folder(trap: Path) -> None:
    shutil.rmtree(trap.parent / "harness")  # `python -m harness` imports it by design, and its own imports come before
    for name in ("argparse", "pickle"):
        (trap.parent / f"{name}.py").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "harness", "report", "none"], check=False, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 2, done.stderr
    assert not trap.exists()


@pytest.mark.parametrize("how", ["fsmonitor", "filter"])
def test_git_of_a_checkout_runs_none_of_its_programs(how: str, workdir: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

    git("init")
    Path("a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    program = workdir / "program"
    program.write_text(f"#!/bin/sh\ntouch {workdir}/ran\ncat\n")
    program.chmod(0o755)
    if how == "fsmonitor":
        git("config", "core.fsmonitor", str(program))
    else:
        git("config", "filter.x.clean", str(program))
        Path(".gitattributes").write_text("* filter=x\n")
        Path("a").write_text("2")
        os.utime("a", (1, 1))
    environment._git.cache_clear()
    commit = environment._git(str(workdir))
    assert len(commit.partition("+")[0]) == 40
    assert commit.endswith("+unknown") == (how == "filter")
    assert not (workdir / "ran").exists()
