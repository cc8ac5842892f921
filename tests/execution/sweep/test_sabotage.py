"""Tests of failing runs: each is recorded with its reason, and the others are not affected."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.execution.sweep.commands import Forking, ended, left_over, metrics

STUDY = Path("outputs/sabotage")
TINY = ["-m", "model=mlp", "model.width=8", "epochs=2", "study=sabotage", "optimizer=saboteur"]


def rows(study: Path) -> dict[int, dict[str, Any]]:
    """Return {number: record}."""
    records = (json.loads(path.read_text()) for path in study.glob("*/record.json"))
    return {row["config"]["optimizer"]["number"]: row for row in records}


def endings(study: Path) -> dict[int, tuple[str, str]]:
    """Return {number: (status, type of error)} of the runs that are not complete."""
    return {n: (r["status"], r["error"]["type"]) for n, r in rows(study).items() if r["error"] is not None}


RAISED = {5: ("failed", "ZeroDivisionError"), 9: ("diverged", "Diverged"), 13: ("failed", "SystemExit"),
          21: ("failed", "RuntimeError")}  # fmt: skip
HERE = "optimizer.number=5,9,13,21,1,2,3,4,6,7,8,10,11,12,14,15,16,18,19,20"


@pytest.mark.parametrize("path", ["fused", "alone", "auto"])
def test_sweep_with_a_fifth_of_failing_runs(forking: Forking, tmp_path: Path, path: str) -> None:
    here = ["executor=in_process", f"path={path}"]
    command = forking.run(*TINY, *here, HERE, folder=tmp_path, status=1)
    study = tmp_path / STUDY
    assert endings(study) == RAISED
    assert len(ended(study)) == 17
    assert "3 failed" in command.output
    for reason in ("ZeroDivisionError", "SystemExit", "RuntimeError"):
        assert reason in command.output
    assert left_over(study) == []
    if path != "fused":
        return
    innocent = rows(study)
    assert {row["cohort"]["path"] for row in innocent.values()} == {"fused"}
    forking.run(*TINY, *here, "optimizer.number=1,2,3,4", folder=tmp_path / "without")
    for number, row in rows(tmp_path / "without" / STUDY).items():
        assert row["metrics"] == innocent[number]["metrics"]


def test_run_with_a_raising_optimizer_leaves_the_stack_at_once(forking: Forking, tmp_path: Path) -> None:
    line = ["executor=in_process", "path=fused", "optimizer.number=1,2,3,5"]
    forking.run(*TINY, *line, folder=tmp_path, status=1)
    records = rows(tmp_path / STUDY)
    assert {n: row["cohort"]["size"] for n, row in records.items()} == dict.fromkeys((1, 2, 3, 5), 4)  # no second try
    assert "in step" in records[5]["error"]["traceback"]


def test_runs_that_share_a_failing_optimizer_are_retried_one_by_one(forking: Forking, tmp_path: Path) -> None:
    line = ["executor=in_process", "path=fused", "optimizer.number=3,5", "seed=0,1,2"]
    forking.run(*TINY, *line, folder=tmp_path, status=1)
    texts = [json.loads(path.read_text()) for path in (tmp_path / STUDY).glob("*/record.json")]
    assert sorted((t["config"]["optimizer"]["number"], t["status"]) for t in texts) == [
        (3, "completed"), (3, "completed"), (3, "completed"), (5, "failed"), (5, "failed"), (5, "failed"),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["fused", "auto"])
def test_model_that_cannot_be_built_fails_alone(forking: Forking, tmp_path: Path, path: str) -> None:
    line = ["executor=in_process", f"path={path}", "activation=grenade", "activation.pin=in,out", "seed=0,1"]
    command = forking.run(*TINY, *line, folder=tmp_path, status=1)
    assert "2 completed" in command.output
    assert "2 failed" in command.output
    assert "the pin is out" in command.output


def test_fail_fast_leaves_the_other_runs_untrained(forking: Forking, tmp_path: Path) -> None:
    line = ["executor=in_process", "path=alone", "optimizer.number=1,5,7,8", "fail_fast=true"]
    forking.run(*TINY, *line, folder=tmp_path, status=1)
    assert {n: row["status"] for n, row in rows(tmp_path / STUDY).items()} == {1: "completed", 5: "failed"}


LEFT = ("interrupted", "FailFast")


def test_fail_fast_ends_the_stack_of_a_raising_optimizer(forking: Forking, tmp_path: Path) -> None:
    line = ["executor=in_process", "path=fused", "optimizer.number=1,2,3,4,5,6,7,8"]
    command = forking.run(*TINY, *line, "fail_fast=true", folder=tmp_path, status=1)
    records = rows(tmp_path / STUDY)
    assert endings(tmp_path / STUDY) == dict.fromkeys((1, 2, 3, 4, 6, 7, 8), LEFT) | {5: RAISED[5]}
    assert {row["cohort"]["path"] for n, row in records.items() if n != 5} == {"fused"}
    assert {row["time"]["epochs"] for row in records.values()} == {1}  # of two epochs
    assert "ZeroDivisionError" in command.output
    assert left_over(tmp_path / STUDY) == []
    forking.run(*TINY, *line, folder=tmp_path, status=1)
    assert endings(tmp_path / STUDY) == {5: RAISED[5]}  # the others are trained when requested again


def test_fail_fast_with_an_optimizer_that_cannot_be_made(forking: Forking, tmp_path: Path) -> None:
    """The run that prevents a stack is found by halving, the first half before the second."""
    line = ["executor=in_process", "path=fused", "optimizer.number=1,25,3", "fail_fast=true"]
    forking.run(*TINY, *line, folder=tmp_path, status=1)
    assert endings(tmp_path / STUDY) == {25: ("failed", "ValueError"), 3: LEFT}


@pytest.mark.parametrize("fuse", ["long,none", "none,long"])
def test_fail_fast_with_a_member_that_cannot_be_built(forking: Forking, tmp_path: Path, fuse: str) -> None:
    line = ["executor=in_process", "path=fused", "initializer=dud", f"initializer.fuse={fuse}", "fail_fast=true"]
    forking.run(*TINY, *line, folder=tmp_path, status=1)
    texts = [json.loads(path.read_text()) for path in (tmp_path / STUDY).glob("*/record.json")]
    outcomes = {t["config"]["initializer"]["fuse"]: (t["status"], t["error"]["type"]) for t in texts}
    assert outcomes.pop("none") == ("failed", "RuntimeError")
    assert set(outcomes.values()) <= {LEFT}


def test_fail_fast_stops_the_other_worker(forking: Forking, tmp_path: Path) -> None:
    line = [word for word in TINY if word != "epochs=2"]
    line += ["epochs=20000", "executor=loky", "jobs=2", "path=alone", "optimizer.number=1,5,6,7,8", "fail_fast=true"]
    line += ["optimizer.company=true"]
    forking.run(*line, folder=tmp_path, status=1)
    outcomes = endings(tmp_path / STUDY)
    assert outcomes.pop(5) == RAISED[5]
    assert set(outcomes.values()) == {LEFT}
    assert 1 in outcomes
    assert ended(tmp_path / STUDY) == []
    assert left_over(tmp_path / STUDY) == []


@pytest.mark.slow
@pytest.mark.parametrize("numbers", ["17,1,2,3", "1,17,2,3"])
def test_run_that_kills_its_process_does_not_end_an_auto_sweep(forking: Forking, tmp_path: Path, numbers: str) -> None:
    line = ["jobs=2", "optimizer.at=1", f"optimizer.number={numbers}"]
    command = forking.run(*TINY, *line, folder=tmp_path, status=1)
    study = tmp_path / STUDY
    assert endings(study) == {17: ("failed", "WorkerDied")}
    assert len(ended(study)) == 3
    assert "its worker died, 2 times" in command.output
    assert {row["cohort"]["executor"] for n, row in rows(study).items() if n != 17} == {"loky"}
    assert "SIGKILL" in rows(study)[1]["cohort"]["why"]
    assert left_over(study) == []


@pytest.mark.slow
def test_run_that_killed_its_launcher_is_trained_in_a_worker_next_time(forking: Forking, tmp_path: Path) -> None:
    """The timing trial ends before the fatal step: the first launch trains the run itself, the second in a worker."""
    line = ["jobs=2", "path=fused", "optimizer.number=1,2,17,3"]
    forking.run(*TINY, *line, "executor=in_process", folder=tmp_path, status=-signal.SIGKILL)
    study = tmp_path / STUDY
    assert ended(study) == []
    forking.run(*TINY, *line, folder=tmp_path, status=1)
    assert endings(study) == {17: ("failed", "WorkerDied")}
    assert len(ended(study)) == 3
    assert {row["cohort"]["executor"] for n, row in rows(study).items() if n != 17} == {"loky"}
    assert left_over(study) == []


@pytest.mark.slow
def test_run_that_kills_its_worker_is_found(forking: Forking, tmp_path: Path) -> None:
    line = ["executor=loky", "jobs=2", "path=alone", "optimizer.number=1,17,2,5"]
    command = forking.run(*TINY, *line, folder=tmp_path, status=1)
    assert endings(tmp_path / STUDY) == {17: ("failed", "WorkerDied"), 5: RAISED[5]}
    assert "its worker died, 2 times" in command.output
    assert left_over(tmp_path / STUDY) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", ["fused", "alone", "auto"])
def test_sweep_with_a_fifth_of_failing_runs_over_workers(forking: Forking, tmp_path: Path, path: str) -> None:
    numbers = "optimizer.number=range(0,25)"
    forking.run(*TINY, "executor=loky", "jobs=2", f"path={path}", numbers, folder=tmp_path, status=1)
    assert endings(tmp_path / STUDY) == RAISED | {17: ("failed", "WorkerDied")}
    innocent = "optimizer.number=" + ",".join(str(n) for n in range(25) if n not in (5, 9, 13, 17, 21))
    if path == "fused":
        forking.run(*TINY, "executor=in_process", "path=fused", innocent, folder=tmp_path / "without")
        without = metrics(tmp_path / "without" / STUDY)
        assert {
            id: metric_values for id, metric_values in metrics(tmp_path / STUDY).items() if id in without
        } == without
