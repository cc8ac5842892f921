"""Tests with other users of Hydra: its own launcher and sweeper, a user's folder, a foreign app."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli import main
from harness.config import composition
from tests.helpers import commands

QUICK = ["data=moons", "data.n=60", "batch_size=16", "epochs=1", "logger=[]"]


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("outputs/*/*/record.json"))]


def test_hydras_basic_sweeper_and_launcher_run_harness_jobs(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", "hydra/sweeper=basic", "hydra/launcher=basic", "seed=0,1", "activation=relu,tanh", *QUICK]
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0
    swept = records(workdir)
    assert {(r["config"]["seed"], r["choices"]["activation"]) for r in swept} == {
        (seed, name) for seed in (0, 1) for name in ("relu", "tanh")
    }
    assert {r["status"] for r in swept} == {"completed"}
    assert "4 runs: 4 completed" in capsys.readouterr().out


@pytest.mark.parametrize("theirs", ["hydra/sweeper=basic", "hydra/launcher=basic"])
def test_harness_sweeper_works_with_basic_launcher_and_vice_versa(theirs: str, workdir: Path) -> None:
    swept = harness.sweep([theirs, "seed=0,1", *QUICK])
    assert [r.config["seed"] for r in swept] == [0, 1]
    assert [r.status for r in swept] == ["completed", "completed"]


def test_run_is_the_same_under_every_launcher(workdir: Path) -> None:
    ours = harness.sweep(["seed=0,1", "path=alone", *QUICK])
    theirs = harness.sweep(["seed=0,1", "hydra/launcher=basic", "rerun=true", "path=alone", *QUICK])
    assert [r.id for r in theirs] == [r.id for r in ours]
    assert [r.metrics for r in theirs] == [r.metrics for r in ours]


@pytest.fixture
def folder(workdir: Path) -> Path:
    """A user's folder: an experiment, a preset of a single kind and one of a list kind."""
    files = {
        "experiment/mine": "# @package _global_\ndefaults:\n  - override /optimizer: slow\n"
        "  - override /regularizer: [half]\nepochs: 7\n",
        "optimizer/slow": "defaults: [sgd]\nlr: 0.001\n",
        "regularizer/half": "# @package regularizer.dropout\ndefaults: [dropout]\np: 0.5\n",
    }
    for name, text in files.items():
        path = workdir / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return workdir / "mine"


def test_user_folder_adds_an_experiment_and_presets(folder: Path) -> None:
    values = composition.compose(["experiment=mine", "optimizer.momentum=0.5"], str(folder)).values
    assert values["epochs"] == 7
    assert (values["optimizer"]["_component_"], values["optimizer"]["lr"]) == ("sgd", 0.001)
    assert values["optimizer"]["momentum"] == 0.5
    assert values["regularizer"] == {"dropout": {"_component_": "dropout", "p": 0.5}}


def test_help_and_cfg_search_the_user_folder(folder: Path) -> None:
    where = folder.parent
    text = commands.harness("--config-dir", "mine", "--help", cwd=where).stdout
    groups = {line.partition(": ")[0].strip(): line.partition(": ")[2].split(", ") for line in text.splitlines()}
    assert "mine" in groups["experiment"]
    assert groups["optimizer"][:2] == ["slow", "adam"]  # the user's options come first, then the default
    text = commands.harness("--config-dir=mine", "optimizer=slow", "--cfg", "job", "-p", "optimizer", cwd=where).stdout
    assert "lr: 0.001" in text


def test_user_presets_can_be_swept(folder: Path) -> None:
    words = ["optimizer=slow,adam", "regularizer=[],[half]", *QUICK]
    swept = harness.sweep(words, config_dir=str(folder))
    assert [(r.choices["optimizer"], r.choices["regularizer"]) for r in swept] == [
        ("sgd", []),
        ("sgd", ["dropout"]),
        ("adam", []),
        ("adam", ["dropout"]),
    ]


@pytest.mark.parametrize(
    ("name", "owner"), [("optimizer/adam", "dl-harness"), ("trainer/cpu", "dl-harness"), ("config", "dl-harness")]
)
def test_user_file_cannot_take_a_known_name(name: str, owner: str, folder: Path) -> None:
    path = folder / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("lr: 1.0\n")
    with pytest.raises(harness.HarnessError) as refused:
        composition.compose([], str(folder))
    assert str(refused.value) == f"{path}: the name {name} is taken by {owner}; rename the file"


FOREIGN = """
import sys
import hydra
from omegaconf import DictConfig

version = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}

@hydra.main(config_path="conf", config_name="app", **version)
def app(config: DictConfig) -> None:
    print("x", config.x, "torch" in sys.modules)

app()
"""


@pytest.fixture
def foreign(workdir: Path) -> Path:
    (workdir / "conf" / "group").mkdir(parents=True)
    (workdir / "conf" / "app.yaml").write_text("x: 1\n")
    (workdir / "conf" / "group" / "one.yaml").write_text("y: 1\n")
    (workdir / "app.py").write_text(FOREIGN)
    return workdir / "app.py"


def ask(foreign: Path, *words: str, **more: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(foreign), *words],
        cwd=foreign.parent,
        capture_output=True,
        text=True,
        check=False,
        env=commands.environment(**more),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_foreign_hydra_app_is_unaffected(foreign: Path) -> None:
    assert ask(foreign, "x=2") == "x 2 False\n"
    help_ = ask(foreign, "--help")
    assert "group: one" in help_
    assert "optimizer" not in help_
    path = ask(foreign, "--info", "searchpath")
    assert "harness" not in path
    assert ask(foreign, "-m", "x=2,3").count(" False\n") == 2
    chosen = ask(foreign, "--cfg", "hydra", "--package", "hydra.runtime.choices")
    assert "hydra/sweeper: basic" in chosen
    assert "hydra/launcher: basic" in chosen


@pytest.mark.parametrize("launcher", ["harness", "basic"])
def test_error_of_a_job_reaches_the_caller(launcher: str, workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match=r"^optimizer\.lr must be > 0, got -1"):
        harness.sweep([f"hydra/launcher={launcher}", "optimizer.lr=-1", "seed=0,1", *QUICK])
    assert records(workdir) == []
