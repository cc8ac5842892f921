"""Shares over workers that die, that refuse, and beside other launchers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch

import harness
from harness.cli import main
from harness.cohort import launch
from harness.owner import Claims, alive
from harness.record import FILE, Record, read
from tests.cohort.commands import left_over, stamps
from tests.owners import rewrite

STUDY = Path("outputs/scratch")
TINY = ["model=mlp", "model.width=8", "epochs=1", "executor=in_process"]


def command(*line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["-m", *TINY, *line])
    return int(stop.value.code or 0)


def spoil(monkeypatch: pytest.MonkeyPatch, seeds: Sequence[int], error: Callable[[], Exception]) -> list[list[int]]:
    """Shares with some seed in them end with an error; returns the shares that were submitted."""
    whole, seen = launch.train_share, []

    def train_share(members: Any, how: Any, launcher: int) -> list[Record | None]:
        seen.append([m.values["seed"] for m in members])
        if set(seen[-1]) & set(seeds):
            raise error()
        return whole(members, how, launcher)

    monkeypatch.setattr(launch, "train_share", train_share)
    return seen


def test_a_share_that_cannot_begin_costs_the_others_nothing(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(monkeypatch, [1], lambda: harness.HarnessError("the sources changed; start it again"))
    assert command("path=alone", "seed=0,1,2") == 2
    said = capsys.readouterr()
    assert said.err.strip().splitlines()[-1] == "harness: error: the sources changed; start it again"
    assert "2 completed" in said.out
    assert [r.status for r in harness.load("scratch")] == ["completed"] * 2


def test_who_kills_a_worker_is_found_in_halves(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spoil(monkeypatch, [5], lambda: BrokenProcessPool("killed"))
    records = harness.sweep([*TINY, "path=fused", "seed=range(0,8)"])
    assert [r.status for r in records] == ["completed"] * 5 + ["failed"] + ["completed"] * 2
    assert records[5].error is not None
    assert records[5].error["type"] == "WorkerDied"
    assert [len(share) for share in seen] == [8, 4, 4, 2, 2, 1, 1]
    undisturbed = harness.sweep([*TINY, "path=fused", "seed=range(0,8)", "study=undisturbed"])
    assert all(a.metrics == b.metrics for a, b in zip(records, undisturbed, strict=True) if a.status == "completed")


def test_a_stack_that_does_not_fit_is_halved(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.cohort import attempt

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


def test_a_run_that_a_living_process_has_is_waited_for(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = [*TINY, "path=alone", "seed=0,1"]
    first = harness.sweep(line)[0]
    asked: list[str] = []

    def look(study: Path, id: str) -> bool:
        asked.append(id)
        assert not (first.folder / "log.txt").exists()
        if len(asked) == 2:
            claims.release(id)
        return alive(study, id)

    (first.folder / FILE).unlink()
    (first.folder / "log.txt").unlink()
    with Claims(STUDY) as claims:
        assert claims.claim([first.id]) == [first.id]
        monkeypatch.setattr(launch, "alive", look)
        again, other = harness.sweep(line)
    assert asked == [first.id] * 2
    assert (again.cached, again.metrics, other.cached) == (False, first.metrics, True)


def test_a_run_that_a_dead_process_had_is_done_again(workdir: Path) -> None:
    first = harness.run([*TINY])
    path = first.folder / FILE
    path.write_text(path.read_text().replace('"completed"', '"running"'))
    (first.folder / ".record.json.abc.tmp").touch()
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with Claims(STUDY) as claims:
        claims.claim([first.id])
        rewrite(STUDY, first.id, pid=ended.pid)
        (again,) = harness.sweep(TINY)
    assert (again.status, again.metrics) == ("completed", first.metrics)
    assert left_over(STUDY) == []


def test_one_run_however_often_it_is_asked_for(workdir: Path) -> None:
    one, two = harness.sweep([*TINY, "seed=0,0"])
    assert one.folder == two.folder
    three, four = harness.sweep([*TINY, "optimizer=adam,adam", "rerun=true"])
    assert (three.id, three.cached, four.cached) == (one.id, False, False)
    assert len(harness.load("scratch")) == 1


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("path", ["alone", "fused"])
def test_a_record_that_cannot_be_written(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: str, path: str
) -> None:
    line = [f"path={path}", "seed=0,1"]
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        assert command(*line) == (1 if call == "fsync" else 2)  # when a run has ended; before the first
    said = capsys.readouterr().err.strip().splitlines()
    assert [text for text in said if "error" in text] == [said[-1]]
    assert said[-1].startswith("harness: error: cannot write outputs/scratch/")
    assert said[-1].endswith("No space left on device")
    assert {r.status for r in harness.load("scratch")} <= {"running"}
    assert left_over(STUDY) == []
    assert command(*line) == 0
    assert [r.status for r in harness.load("scratch")] == ["completed"] * 2


def test_a_study_that_cannot_be_written_is_bad_input(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("outputs").write_text("in the way")
    assert command("seed=0,1") == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert said[-1].startswith("harness: error: cannot write outputs/scratch")


DIES = """
import os, sys
from pathlib import Path
from harness.record import Record, write
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


def test_who_dies_while_it_writes_leaves_the_old_record_or_the_new_one(workdir: Path) -> None:
    def dies(place: int, value: float) -> int:
        return subprocess.run([sys.executable, "-c", DIES, str(place), str(value)], check=False).returncode

    assert dies(0, 1.0) == 0
    before = stamps([Path(FILE)])
    for place, value in ((1, 1.0), (2, 1.0), (3, 2.0)):  # fsync, replace, fsync of the folder
        assert dies(place, 2.0) == 9
        found = read(Path())
        assert found is not None
        assert found.metrics == {"val/loss": value}
        assert (stamps([Path(FILE)]) == before) == (value == 1.0)
