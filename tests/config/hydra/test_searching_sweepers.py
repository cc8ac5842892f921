"""Sweepers of other authors that read the objective of a run choose the next settings; each in a folder of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import commands

QUICK = ["data=moons", "data.n=120", "optimizer=adam", "epochs=2", "logger=[]"]
# what each needs beside the packages of harness: its search library may be too old for harness's own tuning
OPTUNA = ["hydra-optuna-sweeper==1.3.0", "optuna==2.10.1", "cmaes", "cliff"]
ORION = [
    "hydra-orion-sweeper==1.6.4", "orion==0.2.7", "setuptools<80", "GitPython", "gitdb", "smmap", "appdirs", "falcon",
    "falcon-cors", "gunicorn", "pymongo", "dnspython", "scikit-optimize", "pyaml", "tabulate", "plotly", "kaleido",
    "choreographer", "logistro", "simplejson",
]  # fmt: skip

pytestmark = pytest.mark.slow


def installed(folder: Path, packages: list[str]) -> Path:
    """Install packages into a folder that precedes the others; the test is skipped where they cannot be downloaded."""
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *packages]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode:
        pytest.skip(f"cannot be installed here: {done.stderr.strip().splitlines()[-1]}")
    return folder


def records(study: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in study.glob("*/record.json")]


def test_optuna_sweeper_maximises_the_objective_in_batches_that_train_together(tmp_path: Path) -> None:
    site = installed(tmp_path / "site", OPTUNA)
    search = ["n_trials=8", "n_jobs=4", "direction=maximize"]
    words = ["-m", "hydra/sweeper=optuna", *(f"hydra.sweeper.{word}" for word in search), *QUICK]
    done = commands.harness(
        *words, "optimizer.lr=interval(0.0001,0.1)", "path=fused", "study=found", cwd=tmp_path, site=site
    )
    assert "8 runs: 8 completed" in done.stdout
    runs = records(tmp_path / "outputs/found")
    assert len({run["config"]["optimizer"]["lr"] for run in runs}) == 8
    assert {run["cohort"]["size"] for run in runs} == {4}
    found = yaml.safe_load((tmp_path / "outputs/found/optimization_results.yaml").read_text())
    best = max(runs, key=lambda run: run["metrics"]["val/accuracy"])
    assert found["best_value"] == best["metrics"]["val/accuracy"]
    assert found["best_params"]["optimizer.lr"] in [
        run["config"]["optimizer"]["lr"] for run in runs if run["metrics"]["val/accuracy"] == found["best_value"]
    ]


def test_orion_sweeper_minimises_the_objective(tmp_path: Path) -> None:
    site = installed(tmp_path / "site", ORION)
    file = tmp_path / "mine/experiment/search.yaml"
    file.parent.mkdir(parents=True)
    file.write_text('# @package _global_\nhydra: {sweeper: {params: {optimizer.lr: "loguniform(0.0001, 0.1)"}}}\n')
    words = [
        "--config-dir",
        "mine",
        "-m",
        "hydra/sweeper=orion",
        "hydra.sweeper.worker.max_trials=4",
        "experiment=search",
    ]
    done = commands.harness(*words, "objective=val/loss", *QUICK, "study=found", cwd=tmp_path, site=site)
    runs = records(tmp_path / "outputs/found")
    assert len(runs) == 4
    assert f"best_evaluation={min(run['metrics']['val/loss'] for run in runs)}" in done.stdout + done.stderr
