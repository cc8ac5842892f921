"""Tests of killed sweeps: the same command again trains what is missing, and nothing twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.execution.sweep.commands import Forking, ended, left_over, metrics, stamps, statuses, until
from tests.plugins.components.executors.helpers import gone

TINY = ["model=mlp", "model.width=8", "study=killed"]
STUDY = Path("outputs/killed")
EXECUTORS = {
    "in_process": ["executor=in_process"],
    "loky": ["executor=loky", "jobs=2"],
    "submitit": ["executor=submitit", "executor.cluster=local", "executor.start_s=0", "jobs=2"],
    "dask": ["executor=dask", "jobs=2"],
}


def line(executor: str, path: str, runs: int, epochs: int) -> list[str]:
    return ["-m", *TINY, *EXECUTORS[executor], f"path={path}", f"epochs={epochs}", f"seed=range(0,{runs})"]


def undisturbed(forking: Forking, folder: Path, path: str, runs: int, epochs: int) -> dict[str, dict[str, float]]:
    forking.run(*line("in_process", path, runs, epochs), folder=folder)
    result = metrics(folder / STUDY)
    assert len(result) == runs
    return result


def killed_and_run_again(
    forking: Forking, folder: Path, command: list[str], again: list[str], wait_s: float, group: bool
) -> int:
    """Kill a command some time after its first run began; return how many runs were complete then."""
    study = folder / STUDY
    process = forking.start(*command, folder=folder)
    until(lambda: any(study.glob("*/record.json")))
    time.sleep(wait_s)  # the moment is under test
    process.signal(signal.SIGKILL, group)
    process.wait()
    before = stamps(ended(study))
    forking.run(*again, folder=folder)
    assert {path: stamp for path, stamp in stamps(ended(study)).items() if path in before} == before
    assert left_over(study) == []
    return len(before)


@pytest.mark.parametrize(
    ("executor", "path", "moments"),
    [("in_process", "fused", 1), ("in_process", "alone", 1), ("loky", "alone", 1)],
)
def test_killed_sweep_resumes_at_some_moments(
    forking: Forking, tmp_path: Path, executor: str, path: str, moments: int
) -> None:
    runs, epochs = 8, 3
    expected = undisturbed(forking, tmp_path / "reference", path, runs, epochs)
    draw = random.Random(f"{executor} {path}")
    again = line("in_process", path, runs, epochs)
    for moment in range(moments):
        folder = tmp_path / str(moment)
        wait_s = draw.uniform(0.0, 1.0)
        killed_and_run_again(forking, folder, line(executor, path, runs, epochs), again, wait_s, group=moment % 2 == 0)
        assert metrics(folder / STUDY) == expected


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("executor", "path", "moments"),
    [("loky", "alone", 25), ("loky", "fused", 25)]
    + [(executor, path, 5) for executor in ("in_process", "dask", "submitit") for path in ("alone", "fused")],
)
def test_killed_sweep_resumes_at_any_moment(
    forking: Forking, tmp_path: Path, executor: str, path: str, moments: int
) -> None:
    runs, epochs = 60, 5
    expected = undisturbed(forking, tmp_path / "reference", path, runs, epochs)
    command = line(executor, path, runs, epochs)
    process, study = forking.start(*command, folder=tmp_path / "timed"), tmp_path / "timed" / STUDY
    until(lambda: any(study.glob("*/record.json")))
    began = time.monotonic()
    assert process.wait() == 0
    took = time.monotonic() - began
    draw = random.Random(f"{executor} {path}")
    complete = []
    for moment in range(moments):
        folder, wait_s = tmp_path / str(moment), draw.uniform(0.0, took)
        complete.append(killed_and_run_again(forking, folder, command, command, wait_s, group=moment % 2 == 0))
        assert metrics(folder / STUDY) == expected
    print(f"{executor} {path}: complete when killed: {complete}")


def test_ctrl_c_ends_a_sweep_over_workers_in_the_middle_of_its_runs(forking: Forking, tmp_path: Path) -> None:
    study = tmp_path / STUDY
    process = forking.start(*line("loky", "alone", 4, 100_000), folder=tmp_path)
    until(lambda: len(statuses(study)) == 2)
    process.signal(signal.SIGINT)
    assert process.wait() == 130
    assert process.errors.strip().splitlines()[-1] == "harness: interrupted"
    assert "Traceback" not in process.errors
    assert list(statuses(study).values()) == ["interrupted", "interrupted"]
    assert gone(process.pid)
    assert left_over(study) == []


@pytest.mark.parametrize(
    ("executor", "number"),
    [
        ("loky", signal.SIGTERM),
        pytest.param("loky", signal.SIGHUP, marks=pytest.mark.slow),
        pytest.param("submitit", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_signal_to_the_launcher_ends_the_sweep_and_its_workers(
    forking: Forking, tmp_path: Path, executor: str, number: signal.Signals
) -> None:
    study = tmp_path / STUDY
    process = forking.start(*line(executor, "alone", 4, 100_000), folder=tmp_path)
    until(lambda: len(statuses(study)) == 2, within=300)
    workers = started_by(process.pid)
    process.signal(number, group=False)
    assert process.wait() == 128 + number
    assert process.errors.strip().splitlines()[-1] == f"harness: ended by {number.name}"
    assert list(statuses(study).values()) == ["interrupted", "interrupted"]
    errors = [json.loads(path.read_text())["error"] for path in statuses(study)]
    assert {(error["type"], error["message"]) for error in errors} == {(number.name, f"ended by {number.name}")}
    _, left = psutil.wait_procs(list(workers), timeout=30)
    assert left == []
    assert left_over(study) == []


def started_by(pid: int) -> set[psutil.Process]:
    """Return the processes that a process started, or that are in its group."""
    own = set(psutil.Process(pid).children(recursive=True)) if psutil.pid_exists(pid) else set()
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError):
            if process.pid != pid and os.getpgid(process.pid) == pid:
                own.add(process)
    return own


@pytest.mark.parametrize("group", [True, False])
def test_ctrl_c_leaves_no_worker(forking: Forking, tmp_path: Path, group: bool) -> None:
    """The terminal interrupts the whole group; `kill -INT` interrupts the launcher alone."""
    study = tmp_path / STUDY
    process = forking.start(*line("loky", "alone", 4, 100_000), folder=tmp_path)
    until(lambda: len(statuses(study)) == 2)
    before = started_by(process.pid)
    workers = {json.loads(path.read_text())["pid"] for path in study.glob(".owners/*.json")}
    assert len(workers) == 2
    assert workers <= {worker.pid for worker in before}
    process.signal(signal.SIGINT, group)
    assert process.wait() == 130
    _, left = psutil.wait_procs(list(before), timeout=3)
    assert left == []
    assert started_by(process.pid) == set()


@pytest.mark.slow
def test_relaunch_after_a_killed_launcher_uses_workers(forking: Forking, tmp_path: Path) -> None:
    """The second launch finds the runs that were begun, and trains all in workers: one may have killed the first."""
    runs, epochs = 6, 4
    expected = undisturbed(forking, tmp_path / "reference", "fused", runs, epochs)
    command = ["-m", *TINY, "jobs=2", "path=fused", f"epochs={epochs}", f"seed=range(0,{runs})"]
    study = tmp_path / "killed" / STUDY
    process = forking.start(*command, "executor=in_process", folder=tmp_path / "killed")
    until(lambda: len(statuses(study)) == runs)
    process.signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    begun = [path for path, status in statuses(study).items() if status == "running"]
    assert begun
    forking.run(*command, folder=tmp_path / "killed")
    assert metrics(study) == expected
    assert {json.loads(path.read_text())["cohort"]["executor"] for path in begun} == {"loky"}
    assert left_over(study) == []


def test_two_launchers_share_a_study(forking: Forking, tmp_path: Path) -> None:
    both = [forking.start(*line("in_process", "alone", 12, 2), "save=none", folder=tmp_path) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    study = tmp_path / STUDY
    assert len(ended(study)) == 12
    began = [path.read_text().count(" of study killed") for path in study.glob("*/log.txt")]
    assert began == [1] * 12
    assert left_over(study) == []
