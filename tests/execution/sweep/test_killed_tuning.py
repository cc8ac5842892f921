"""Tests of tuned sweeps that are killed: the same command again repeats no trial and finds the same winners."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.results.tuning import read_tunings
from tests.execution.sweep.commands import Forking, ended, left_over, metrics, stamps, until

STUDY = Path("outputs/tuned")
LINE = ["-m", "model=mlp", "model.width=8", "data=iris", "epochs=3", "seed=range(3)", "optimizer=sgd,adam",
        "study=tuned", "tune.budget=8", "tune.seeds=2", "executor=in_process", "diagnostic=[]",
        "logger=[]"]  # fmt: skip


def winners(study: Path) -> list[Any]:
    return [(t.levels, t.winner, t.trials) for t in read_tunings(study)]


def killed_at_some_moments(forking: Forking, tmp_path: Path, method: str, moments: int) -> None:
    line = [*LINE, f"tune.method={method}"]
    forking.run(*line, folder=tmp_path / "reference")
    study = tmp_path / "reference" / STUDY
    expected = metrics(study), winners(study)
    draw = random.Random(method)
    for moment in range(moments):
        folder = tmp_path / str(moment)
        both = [forking.start(*line, folder=folder) for _ in range(2)]
        until(lambda: any((folder / STUDY).rglob("record.json")))  # noqa: B023  # called in this round
        time.sleep(draw.uniform(0.0, 2.0))  # the moment is under test
        for process in both:
            process.signal(signal.SIGKILL)
        for process in both:
            process.wait()
        trials = folder / STUDY / "tuning"
        before = stamps(ended(trials)) | stamps(ended(folder / STUDY))
        forking.run(*line, folder=folder)
        after = stamps(ended(trials)) | stamps(ended(folder / STUDY))
        assert {path: after[path] for path in before} == before
        assert len(list(trials.glob("*/record.json"))) == 2 * 8 * 2
        assert (metrics(folder / STUDY), winners(folder / STUDY)) == expected
        # the file of a contestant that was being written is removed by a launch a minute later
        files = {*left_over(folder / STUDY), *left_over(trials)}
        assert [name for name in files if ".json." not in name] == []


def test_tuned_sweep_of_two_killed_launchers_goes_on(forking: Forking, tmp_path: Path) -> None:
    killed_at_some_moments(forking, tmp_path, "random", 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", ["random", "tpe"])
def test_tuned_sweep_of_two_launchers_killed_at_many_moments_goes_on(
    forking: Forking, tmp_path: Path, method: str
) -> None:
    killed_at_some_moments(forking, tmp_path, method, 10)
