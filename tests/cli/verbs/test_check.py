"""Tests of `harness check NAME ...` and `harness check --fused STUDY`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness.cli.main import dispatch
from harness.modeling.weights import WEIGHTS

LINE = ["model=mlp", "model.width=9", "epochs=2", "executor=in_process", "split.test=0.6"]


def test_fused_runs_equal_the_runs_retrained(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness.sweep([*LINE, "seed=0,1,2", "optimizer.lr=0.001,0.1", "path=fused", "study=s"])
    capsys.readouterr()
    assert dispatch(["check", "--fused", "s", "--sample", "3"]) == 0
    shown = capsys.readouterr().out
    assert "3 runs: the largest deviation from the same run padded to two is 0" in shown
    assert dispatch(["check", "--fused", "s", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["padded"], row["members"], row["fine"]) for row in rows] == [(0, 6, True)] * 6


def test_changed_weights_are_found(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = harness.sweep([*LINE, "seed=0,1", "path=fused", "study=s"])
    path = records[0].folder / WEIGHTS
    kept = torch.load(path, weights_only=True)
    next(iter(kept["state"].values())).mul_(1.01)
    torch.save(kept, path)
    capsys.readouterr()
    assert dispatch(["check", "--fused", "s"]) == 1
    assert "; 1 failed" in capsys.readouterr().out


def test_study_without_stacks_is_refused(workdir: Path) -> None:
    harness.run([*LINE, "study=s"])
    with pytest.raises(harness.HarnessError, match="no run of s was trained fused"):
        dispatch(["check", "--fused", "s"])
    with pytest.raises(harness.HarnessError, match="--sample"):
        dispatch(["check", "--fused", "s", "--sample", "0"])


def test_components_are_checked_by_name(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "scheduler/cosine", "data/npz"]) == 0
    shown = capsys.readouterr().out
    assert "scheduler/cosine  ok" in shown
    assert "imports, passed" in shown
    assert "its setting path has no default: give it with --set data/npz.path=VALUE" in shown
    assert "0 failed" in shown
    assert list(workdir.iterdir()) == []
    np.savez("some.npz", x=np.random.default_rng(0).normal(size=(60, 2)), y=np.arange(60) % 2)
    assert dispatch(["check", "data/npz", "--set", "data/npz.path=some.npz", "--only", "builds", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["component"], row["check"], row["status"]) == ("data/npz", "builds", "passed")


def test_checks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["check", "--list"]) == 0
    assert "After its state_dict was saved and loaded, it continues" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["harnes"], "Did you mean 'harness' or 'dl-harness'?"),
        (["activation/rely"], "Did you mean"),
        (["activation/relu", "--only", "gradeint"], "Did you mean 'gradient'"),
        (["activation/relu", "--set", "slope=1"], "KIND/NAME.KEY=VALUE"),
        (["data/npz", "--set", "data/npz.pat=x"], "Did you mean 'path'?"),
        (["data/npz", "--set", "data/npz.path=3"], "data/npz.path must be a string"),
        (["data/npz", "--set", "data/npz.path=[1"], "is not a value"),
        (["activation/relu", "--set", "data/npz.path=x"], "which is not checked"),
        ([], "needs NAMEs"),
        (["activation/relu", "--fused", "s"], "needs NAMEs"),
    ],
)
def test_unknown_name_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(harness.HarnessError) as refused:
        dispatch(["check", *words])
    assert message in str(refused.value)
