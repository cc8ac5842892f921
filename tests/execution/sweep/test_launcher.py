"""Tests of work items over workers: workers that die or refuse, and other launchers in the same study."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness.cli import main
from harness.execution.locks.run_lock import RunLocks, alive
from harness.execution.sweep import launcher as launch
from harness.execution.sweep import worker
from harness.execution.sweep.callbacks import SweepCallback, SweepPlan
from harness.results.machine_faults import MachineFault
from harness.results.record import FILE, Record, read
from harness_components.executors import submitit_slurm
from harness_components.executors.components import InProcess
from tests.execution.locks.owners import rewrite
from tests.execution.sweep.commands import left_over, stamps

STUDY = Path("outputs/scratch")
TINY = ["model=mlp", "model.width=8", "epochs=1", "executor=in_process"]


def command(*line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["-m", *TINY, *line])
    return int(stop.value.code or 0)


def spoil(monkeypatch: pytest.MonkeyPatch, seeds: Sequence[int], error: Callable[[], Exception]) -> list[list[int]]:
    """Items with some seed in them end with an error; returns the items that were submitted."""
    whole, seen = worker.train_item, []

    def train_item(specs: Any, plan: Any, launcher: int) -> list[Record | None]:
        seen.append([m.values["seed"] for m in specs])
        if set(seen[-1]) & set(seeds):
            raise error()
        return whole(specs, plan, launcher)

    monkeypatch.setattr(worker, "train_item", train_item)
    return seen


class Queue(InProcess):
    """Replacement of submitit: a queue whose jobs run here, one after another."""

    def __init__(self, *_: object) -> None:
        self.jobs: list[list[int]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.jobs.append([spec.values["seed"] for item in args[0] for spec in item.specs])
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def queue(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """The queue of a cluster."""
    result = Queue()
    monkeypatch.setattr(submitit_slurm, "Submitit", lambda *_: result)
    return result


QUEUED = ["model=mlp", "epochs=1", "executor=submitit", "executor.cluster=local", "executor.start_s=0"]


def test_refused_work_item_does_not_affect_the_others(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, [1], lambda: harness.HarnessError("the sources changed; start it again"))
    assert command("path=alone", "seed=0,1,2") == 2
    output = capsys.readouterr()
    assert output.err.strip().splitlines()[-1] == "harness: error: the sources changed; start it again"
    assert "2 completed" in output.out
    assert [r.status for r in harness.load("scratch")] == ["completed"] * 2


def test_run_that_kills_a_worker_is_found_by_halving(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spoil(monkeypatch, [5], lambda: BrokenProcessPool("killed"))
    records = harness.sweep([*TINY, "path=fused", "seed=range(0,8)"])
    assert [r.status for r in records] == ["completed"] * 5 + ["failed"] + ["completed"] * 2
    assert records[5].error is not None
    assert records[5].error["type"] == "WorkerDied"
    assert [len(item) for item in seen] == [8, 4, 4, 2, 2, 1, 1]
    undisturbed = harness.sweep([*TINY, "path=fused", "seed=range(0,8)", "study=undisturbed"])
    assert all(a.metrics == b.metrics for a, b in zip(records, undisturbed, strict=True) if a.status == "completed")


def test_runs_of_a_queue_are_packed_into_jobs(queue: Queue) -> None:
    groups: list[str] = []

    class Plans(SweepCallback):
        def on_sweep_planned(self, plan: SweepPlan) -> None:
            groups.extend(map(str, plan.groups))

    line = [*QUEUED, "jobs=3", "path=alone", "model.width=8", "seed=range(0,9)"]
    records = harness.sweep(line, callbacks=[Plans()])
    assert [record.status for record in records] == ["completed"] * 9
    assert sorted(map(len, queue.jobs)) == [3, 3, 3]
    assert groups == ["alone 9 over submitit workers in 3 jobs (path=alone)"]
    del queue.jobs[:]
    harness.sweep([*QUEUED, "jobs=3", "path=fused", "seed=range(0,4)", "model.width=6,7,8", "study=shapes"])
    assert (len(queue.jobs), sum(map(len, queue.jobs))) == (3, 12)  # stacks of several shapes, packed by seconds


def test_dying_job_loses_only_the_run_it_trained(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = worker.train_task

    def train_task(items: Any, launcher: int) -> list[worker.Outcome]:
        for item in items:
            if item.specs[0].values["seed"] == 4:
                raise BrokenProcessPool("killed")  # runs trained before are known from their records alone
            whole([item], launcher)
        return whole(items, launcher)

    monkeypatch.setattr(launch, "train_task", train_task)
    records = harness.sweep([*QUEUED, "path=alone", "model.width=8", "seed=range(0,9)", "jobs=1"])
    assert [record.status for record in records] == ["completed"] * 4 + ["failed"] + ["completed"] * 4
    assert records[4].error is not None
    assert records[4].error["type"] == "WorkerDied"
    assert queue.jobs == [[*range(9)], [4], [5, 6, 7, 8]] or queue.jobs == [[*range(9)], [5, 6, 7, 8], [4]]


def test_runs_of_a_job_are_reported_before_it_ends(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    first: list[str] = []

    def submit(fn: Callable[..., Any], items: Any, launcher: int) -> Future[Any]:
        fn(items[:2], launcher)
        future: Future[Any] = Future()
        running.append((future, fn, items))
        return future

    class Finishes(SweepCallback):
        def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
            first.append(record.name)
            if len(first) == 2:
                ((future, fn, items),) = running
                future.set_result(fn(items, os.getpid()))

    running: list[tuple[Future[Any], Any, Any]] = []
    monkeypatch.setattr(queue, "submit", submit)
    line = [*QUEUED, "path=alone", "model.width=8", "seed=0,1,2,3", "jobs=1"]
    harness.sweep(line, callbacks=[Finishes()])
    assert len(first) == len(set(first)) == 4


def test_refused_work_item_of_a_job_does_not_affect_the_others(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, [1], lambda: harness.HarnessError("the sources changed"))
    with pytest.raises(harness.HarnessError, match="the sources changed"):
        harness.sweep([*QUEUED, "path=alone", "model.width=8", "seed=0,1,2,3", "jobs=1"])
    assert len(queue.jobs) == 1
    assert [record.status for record in harness.load("scratch")] == ["completed"] * 3


@pytest.mark.parametrize("fail_fast", [True, False])
def test_job_stops_after_the_run_that_ends_the_sweep(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, fail_fast: bool
) -> None:
    from harness.execution import cohort as attempt

    whole, calls = attempt.fit, []

    def fit(trainer: Any, cohort: Any, fused: bool = False, **more: Any) -> None:
        calls.append(cohort)
        if len(calls) == 2:
            raise ZeroDivisionError if fail_fast else OSError(errno.ENOSPC, "No space left on device")
        whole(trainer, cohort, fused, **more)

    monkeypatch.setattr(attempt, "fit", fit)
    line = [*QUEUED, "path=alone", "model.width=8", "seed=0,1,2,3", "jobs=1", f"fail_fast={fail_fast}"]
    if fail_fast:
        harness.sweep(line)
    else:
        with pytest.raises(MachineFault, match="the disk is full"):
            harness.sweep(line)
    assert [record.status for record in harness.load("scratch")] == [
        "completed",
        "failed" if fail_fast else "interrupted",
    ]
    monkeypatch.setattr(attempt, "fit", whole)
    assert [record.status for record in harness.sweep(line)] == ["completed"] * 4


def test_stack_beyond_memory_is_halved(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.execution import cohort as attempt

    whole, sizes = attempt.fit, []

    def fit(trainer: Any, cohort: Any, fused: bool = False, **more: Any) -> None:
        sizes.append(len(cohort))
        if len(cohort) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        whole(trainer, cohort, fused, **more)

    expected = harness.sweep([*TINY, "path=fused", "seed=range(0,5)", "study=whole"])
    monkeypatch.setattr(attempt, "fit", fit)
    records = harness.sweep([*TINY, "path=fused", "seed=range(0,5)"])
    assert sizes == [5, 2, 3, 1, 2]
    assert [r.metrics for r in records] == [r.metrics for r in expected]
    assert "did not fit in memory" in records[0].cohort["why"]


def test_run_of_a_living_process_is_awaited(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = [*TINY, "path=alone", "seed=0,1"]
    first = harness.sweep(line)[0]
    polled: list[str] = []

    def look(study: Path, id: str) -> bool:
        polled.append(id)
        assert not (first.folder / "log.txt").exists()
        if len(polled) == 2:
            claims.release(id)
        return alive(study, id)

    (first.folder / FILE).unlink()
    (first.folder / "log.txt").unlink()
    with RunLocks(STUDY) as claims:
        assert claims.claim([first.id]) == [first.id]
        monkeypatch.setattr(launch, "alive", look)
        again, other = harness.sweep(line)
    assert polled == [first.id] * 2
    assert (again.cached, again.metrics, other.cached) == (False, first.metrics, True)


def test_run_that_only_a_worker_finds_locked_is_refused_after_some_attempts(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, submitted = worker.train_item, []

    def train_item(specs: Any, plan: Any, launcher: int) -> list[Record | None]:
        submitted.extend(spec.values["seed"] for spec in specs)
        return [None] if specs[0].values["seed"] == 1 else whole(specs, plan, launcher)

    monkeypatch.setattr(worker, "train_item", train_item)
    assert command("seed=0,1,2", "path=alone") == 2
    assert submitted.count(1) == launch.RETURNS
    assert sorted(record.config["seed"] for record in harness.load("scratch")) == [0, 2]
    error = capsys.readouterr().err
    assert "seed=1 is held by a process that its worker sees and this one does not" in error
    assert "remove outputs/scratch/.owners/" in error


def test_run_of_a_dead_process_is_repeated(workdir: Path) -> None:
    first = harness.run([*TINY])
    path = first.folder / FILE
    path.write_text(path.read_text().replace('"completed"', '"running"'))
    (first.folder / ".record.json.abc.tmp").touch()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with RunLocks(STUDY) as claims:
        claims.claim([first.id])
        rewrite(STUDY, first.id, pid=ended.pid)
        (again,) = harness.sweep(TINY)
    assert (again.status, again.metrics) == ("completed", first.metrics)
    assert left_over(STUDY) == []


def test_run_requested_twice_is_trained_once(workdir: Path) -> None:
    one, two = harness.sweep([*TINY, "seed=0,0"])
    assert one.folder == two.folder
    three, four = harness.sweep([*TINY, "optimizer=adam,adam", "rerun=true"])
    assert (three.id, three.cached, four.cached) == (one.id, False, False)
    assert len(harness.load("scratch")) == 1


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("path", ["alone", "fused"])
def test_unwritable_record_is_an_error_of_the_machine(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str, path: str
) -> None:
    line = [f"path={path}", "seed=0,1"]
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        assert command(*line) == 1  # the machine's fault, whether a run began (fsync) or not
    lines = capsys.readouterr().err.strip().splitlines()
    assert [text for text in lines if "error" in text] == [lines[-1]]
    assert lines[-1].startswith("harness: error: cannot write outputs/scratch/")
    assert lines[-1].endswith("No space left on device")
    assert {r.status for r in harness.load("scratch")} <= {"running"}
    assert left_over(STUDY) == []
    assert command(*line) == 0
    assert [r.status for r in harness.load("scratch")] == ["completed"] * 2


def test_unwritable_study_is_bad_input(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("outputs").write_text("in the way")
    assert command("seed=0,1") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("harness: error: cannot write outputs/scratch")


DIES = """
import os, sys
from pathlib import Path
from harness.results.record import Record, write
record = Record("0" * 12, "a", "s", folder=Path("."), metrics={"val/loss": float(sys.argv[2])})
calls, die = [], int(sys.argv[1])
def at(place, whole):
    def call(*args):
        calls.append(place)
        if len(calls) == die:
            os._exit(9)
        return whole(*args)
    return call
os.fsync, os.replace = at("fsync", os.fsync), at("replace", os.replace)
write(record)
os._exit(0)
"""


def test_record_is_old_or_new_when_its_writer_dies(workdir: Path) -> None:
    def dies(place: int, value: float) -> int:
        return subprocess.run([sys.executable, "-c", DIES, str(place), str(value)], check=False).returncode

    assert dies(0, 1.0) == 0
    before = stamps([Path(FILE)])
    for place, value in ((1, 1.0), (2, 1.0), (3, 2.0)):  # fsync, replace, fsync of the folder
        assert dies(place, 2.0) == 9
        record = read(Path())
        assert record is not None
        assert record.metrics == {"val/loss": value}
        assert (stamps([Path(FILE)]) == before) == (value == 1.0)
