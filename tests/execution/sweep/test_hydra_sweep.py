"""Tests of zipped keys and variants in sweeps that are trained."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import harness
from harness.cli import main

QUICK = ["data=moons", "data.n=60", "batch_size=16", "epochs=1", "logger=[]", "diagnostic=[]", "path=alone", "jobs=1"]
DEPTHS = ["model=mlp", "model.depth=1,2", "seed=0,1", "model.width=4,8", "zip=[model.depth,model.width]"]


@pytest.mark.parametrize("launcher", ["harness", "basic"])
def test_zipped_keys_vary_together_under_every_launcher(launcher: str, workdir: Path) -> None:
    records = harness.sweep([*DEPTHS, *QUICK, f"hydra/launcher={launcher}"])
    models = [(r.config["model"]["depth"], r.config["model"]["width"], r.config["seed"]) for r in records]
    assert models == [(1, 4, 0), (1, 4, 1), (2, 8, 0), (2, 8, 1)]
    assert [r.status for r in records] == ["completed"] * 4
    if launcher == "harness":
        assert records[0].swept == ["model.depth", "seed", "model.width"]
        assert records[0].swept_values == {"model.depth": 1, "seed": 0, "model.width": 4}
        assert records[0].command.startswith("harness -m model=mlp model.depth=1,2 seed=0,1 ")


def test_zipped_runs_are_the_runs_of_their_values(workdir: Path) -> None:
    zipped = harness.sweep([*DEPTHS, *QUICK])
    grid = harness.sweep([*DEPTHS[:-1], *QUICK])
    assert [r.id for r in grid if r.cached] == [r.id for r in zipped]
    assert all(r.cached for r in harness.sweep([*DEPTHS, *QUICK]))
    jobs = [["model.depth=2", "model.width=8"], ["model.depth=1", "model.width=4"]]
    explicit = harness.sweep(["model=mlp", "seed=0,1", *QUICK], variants=jobs)
    assert [r.id for r in explicit] == [zipped[at].id for at in (2, 3, 0, 1)]
    assert all(r.cached for r in explicit)


def test_variants_may_set_different_keys(workdir: Path) -> None:
    records = harness.sweep(QUICK, variants=[[], ("seed=4",), ["optimizer=sgd", "optimizer.lr=0.5"]])
    assert [(r.config["seed"], r.choices["optimizer"]) for r in records] == [(0, "adam"), (4, "adam"), (0, "sgd")]
    assert records[0].swept == ["seed", "optimizer", "optimizer.lr"]
    program, flag, *overrides = shlex.split(records[0].command)
    assert (program, flag) == ("harness", "-m")
    again = harness.sweep(overrides)
    assert [r.id for r in again] == [r.id for r in records]
    assert all(r.cached for r in again)


def test_another_sweeper_refuses_zip_and_variants(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["-m", *DEPTHS, *QUICK, "hydra/sweeper=basic"])
    message = "harness: error: zip= needs harness's own sweeper: leave out hydra/sweeper=basic\n"
    assert (stop.value.code, capsys.readouterr().err) == (2, message)
    with pytest.raises(harness.HarnessError, match=r"^variants= needs harness's own sweeper"):
        harness.sweep([*QUICK, "hydra/sweeper=basic"], variants=[["seed=1"]])
    assert not (workdir / "outputs").exists()
