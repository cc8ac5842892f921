"""Tests of sweeps: every job is checked before the first is trained, and nothing is trained twice."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli import main
from harness.config.composition import compose
from harness.config.overrides import expand, folder_name, run_name
from harness.datasets.loading import OverlapWarning
from harness.execution.sweep import scheduler
from harness.results.record import Record
from harness.system.session import Session
from harness_components.executors.components import InProcess


def run_command(*line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(line))
    return int(stop.value.code or 0)


def test_repeated_grid_is_cached(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["-m", "optimizer=sgd,adam", "activation=relu,tanh", "seed=0,1", "epochs=1"]
    assert run_command(*line) == 0
    records = harness.load("scratch")
    assert [r.status for r in records] == ["completed"] * 8
    assert len({r.id for r in records}) == 8
    assert "8 runs: 8 completed" in capsys.readouterr().out
    assert run_command("report", "outputs/scratch", "--runs") == 0
    table = capsys.readouterr().out
    assert table.startswith("all runs: epochs=1\n")
    assert all(record.name.removesuffix(",epochs=1") in table for record in records)
    assert table.count("completed") == 8
    stamps = {r.folder: (r.folder / "record.json").stat().st_mtime_ns for r in records}
    assert run_command(*line) == 0
    assert "8 runs: 8 already complete" in capsys.readouterr().out
    assert {f: (f / "record.json").stat().st_mtime_ns for f in stamps} == stamps


def test_jobs_are_trained_in_order_and_match_single_runs(workdir: Path) -> None:
    records = harness.sweep(["seed=2,0", "epochs=1", "path=alone"])
    assert [r.config["seed"] for r in records] == [2, 0]
    alone = harness.run(["seed=2", "epochs=1", "study=alone"])
    assert alone.metrics == records[0].metrics
    assert alone.id == records[0].id


def test_list_settings_are_swept(workdir: Path) -> None:
    records = harness.sweep(["regularizer=[],[l2],[l2,dropout]", "epochs=1"])
    assert [r.choices["regularizer"] for r in records] == [[], ["l2"], ["l2", "dropout"]]


def test_invalid_job_refuses_the_whole_sweep(workdir: Path) -> None:
    for line in (["optimizer=sgd,adam,adma", "epochs=1"], ["batch_size=32,99999", "epochs=1"]):
        with pytest.raises(harness.HarnessError):
            harness.sweep(line)
        assert not (workdir / "outputs").exists()


def fail_on(monkeypatch: pytest.MonkeyPatch, lr: float) -> None:
    from harness.training.single import SinglePath

    whole = SinglePath.train

    def train(self: SinglePath, batches: range):  # type: ignore[no-untyped-def]
        if self.groups[0].schedule.lr == lr:
            raise RuntimeError("sabotage")
        return whole(self, batches)

    monkeypatch.setattr(SinglePath, "train", train)


def test_failed_run_is_recorded_and_the_sweep_continues(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_on(monkeypatch, 0.2)
    line = ["-m", "optimizer=sgd", "optimizer.lr=0.1,0.2,0.3", "epochs=1", "path=alone", "executor=in_process"]
    assert run_command(*line) == 1
    output = capsys.readouterr().out
    assert "2 completed" in output
    assert "1 failed" in output
    assert "RuntimeError: sabotage" in output
    assert [r.status for r in harness.load("scratch")] == ["completed", "failed", "completed"]
    assert run_command(*line, "fail_fast=true") == 1
    fresh = [*line, "study=fresh", "fail_fast=true"]
    assert run_command(*fresh) == 1
    assert [r.status for r in harness.load("fresh")] == ["completed", "failed"]


@pytest.fixture
def executors_made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], int, list[int]]]:
    """Record (settings, jobs, seeds) of each executor that a sweep makes; all run in this process."""
    executors: list[tuple[dict[str, Any], int, list[int]]] = []

    class Recording(InProcess):
        def __init__(self, seeds: list[int]) -> None:
            self.seeds = seeds

        def submit(self, fn: Any, /, items: Any, *args: Any, **kwargs: Any) -> Any:
            self.seeds += [spec.values["seed"] for item in items for spec in item.specs]
            return super().submit(fn, items, *args, **kwargs)

    def component(kind: str, node: dict[str, Any], *, jobs: int) -> Recording:
        assert kind == "executor"
        executors.append((dict(node), jobs, []))
        return Recording(executors[-1][2])

    monkeypatch.setattr(scheduler, "component", component)
    return executors


def test_swept_jobs_setting_applies_to_each_run(workdir: Path, executors_made: list[Any]) -> None:
    line = ["model=mlp", "model.width=8", "epochs=1", "path=alone", "executor=loky"]
    records = harness.sweep([*line, "seed=1,2,3", "jobs=${seed}"])
    assert [r.config["seed"] for r in records] == [1, 2, 3]
    assert [(node["_component_"], jobs, seeds) for node, jobs, seeds in executors_made] == [
        ("loky", 1, [1]), ("loky", 2, [2]), ("loky", 3, [3]),
    ]  # fmt: skip


def test_swept_executor_settings_apply_to_each_run(workdir: Path, executors_made: list[Any]) -> None:
    line = ["model=mlp", "model.width=8", "epochs=1", "path=alone", "executor=submitit", "executor.cluster=local"]
    jobs = [compose([*line, f"seed={seed}", f"executor.timeout_min={5 + seed % 2}"]) for seed in range(4)]
    jobs.append(compose([*line[:4], "executor=loky", "executor.accelerator=cpu", "seed=4"]))
    assert [r.status for r in scheduler.train_all(jobs)] == ["completed"] * 5
    assert sorted((node["_component_"], node.get("timeout_min"), seeds) for node, _, seeds in executors_made[:2]) == [
        ("submitit", 5, [0, 2]), ("submitit", 6, [1, 3]),
    ]  # fmt: skip
    (own,) = executors_made[2:]
    assert (own[0]["_component_"], own[0]["accelerator"], own[2]) == ("loky", "cpu", [4])


def test_rerun_over_workers_gives_the_same_metrics(workdir: Path) -> None:
    line = ["model=mlp", "model.width=8", "epochs=1", "path=alone", "executor=loky", "jobs=1", "seed=0,1"]
    first = harness.sweep(line)
    files = [r.folder / "record.json" for r in first]
    assert [r.status for r in first] == ["completed"] * 2
    before = [file.stat().st_mtime_ns for file in files]  # an inode may be reused
    assert [r.cached for r in harness.sweep(line)] == [True] * 2
    assert [file.stat().st_mtime_ns for file in files] == before
    again = harness.sweep([*line, "rerun=true"])
    assert [r.cached for r in again] == [False] * 2
    assert [r.id for r in again] == [r.id for r in first]
    assert [r.metrics for r in again] == [r.metrics for r in first]
    assert {r.cohort["executor"] for r in again} == {"loky"}
    assert all(file.stat().st_mtime_ns > then for file, then in zip(files, before, strict=True))
    assert len({r.cohort["sweep"] for r in [*first, *again]}) == 2
    assert len(harness.load("scratch")) == 2


def test_expand_makes_a_grid() -> None:
    assert expand(["a=1,2", "b=x,y"]) == [["a=1", "b=x"], ["a=1", "b=y"], ["a=2", "b=x"], ["a=2", "b=y"]]
    assert expand(["seed=range(0,3)"]) == [["seed=0"], ["seed=1"], ["seed=2"]]
    assert expand([]) == [[]]
    with pytest.raises(harness.HarnessError, match="grid"):
        expand(["optimizer.lr=interval(0,1)"])


def test_names_are_readable_and_safe() -> None:
    assert run_name(["study=a", "optimizer=sgd", "+x.y=1", "rerun=true"]) == "optimizer=sgd,x.y=1"
    assert run_name([]) == "default"
    name = folder_name(["data=csv", "data.path=/a b/ü:?.csv"], "0" * 12)
    assert name == "data=csv,data.path=_a_b_ü_.csv-" + "0" * 12
    assert folder_name(["data.target=결과"], "0" * 12) == "data.target=결과-" + "0" * 12
    assert len(folder_name([f"data.target={'결과' * 100}"], "0" * 12).encode()) < 255
    assert len(folder_name([f"k{i}={'v' * 30}" for i in range(50)], "0" * 12)) < 200


def test_objective_is_read_from_the_metrics() -> None:
    record = Record("0" * 12, "a", "s", config={"objective": "val/accuracy"}, metrics={"val/accuracy": 0.5})
    assert record.objective == 0.5
    assert str(Record("0" * 12, "a", "s").objective) == "nan"


def test_overlap_is_warned_of_once_at_the_users_line(workdir: Path) -> None:
    line = ["data=iris", "corruption=[leak]", "epochs=1", "diagnostic=[]", "logger=[]"]
    with warnings.catch_warnings(record=True) as said, Session():
        warnings.simplefilter("always")
        harness.sweep([*line, "seed=0,1,2", "executor=in_process"])
        harness.run([*line, "seed=3"])
    told = [one for one in said if issubclass(one.category, OverlapWarning)]
    assert [one.filename for one in told] == [__file__]


def test_folders_keep_the_letters_of_overrides(workdir: Path) -> None:
    record = harness.run(["data=iris", "epochs=1", "diagnostic=[]", "logger=[]", "study=수업"])
    assert record.folder.parent.name == "수업"
    assert [r.study for r in harness.load("수업")] == ["수업"]
