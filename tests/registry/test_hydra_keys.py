"""Tests of Hydra's own keys: those without effect are refused, on the command line and in files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness
from harness.config import composition
from harness.config.error_messages import plain_errors
from harness.execution import hydra_app

STUDY = "runs are written to outputs/STUDY/: write study=NAME"
LOG = "a run logs to log.txt in its folder"


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("hydra.run.dir=x", STUDY),
        ("hydra.sweep.dir=x", STUDY),
        ("hydra.sweep.subdir=x", STUDY),
        ("hydra={run:{dir:x}}", STUDY),
        ("hydra/output=default", STUDY),
        ("~hydra.run.dir", STUDY),
        ("hydra.output_subdir=.h", "a run's composed config is always kept in its folder, in .hydra/"),
        ("hydra.job.chdir=true", "a run never changes the working folder; its own folder is outputs/STUDY/RUN"),
        ("hydra.job={chdir:true}", "a run never changes the working folder; its own folder is outputs/STUDY/RUN"),
        ("+hydra.job.env_set.A=1", "set the variable in the shell: NAME=VALUE harness ..."),
        ("hydra.verbose=true", LOG),
        ("hydra/job_logging=default", LOG),
        ("hydra.job.num=3", "it is set by Hydra"),
        ("hydra.runtime.cwd=x", "it is set by Hydra"),
        ("hydra/callbacks=x", "a plugin's logger or diagnostic watches a run (harness new NAME --kind logger)"),
        ("hydra.searchpath=[a]", "a folder of your own is searched with --config-dir FOLDER, its names checked"),
    ],
)
def test_key_without_effect_is_refused(word: str, instead: str) -> None:
    with pytest.raises(harness.HarnessError) as refused:
        composition.compose([word])
    assert str(refused.value) == f"{word} has no effect in harness: {instead}"


@pytest.mark.parametrize("word", ["hydra/launcher=basic", "hydra/sweeper=basic", "hydra.launcher.n_jobs=2"])
def test_sweepers_and_launchers_are_refused_outside_of_sweeps(word: str) -> None:
    with pytest.raises(harness.HarnessError) as refused:
        composition.compose([word])
    assert str(refused.value) == f"{word} only has an effect in a sweep: write harness -m"


@pytest.mark.parametrize("word", ["hydra.run.dir=x", "hydra.sweep.dir=x", "hydra.job.chdir=true"])
@pytest.mark.parametrize("launcher", ["harness", "basic"])
def test_key_without_effect_is_refused_in_a_sweep(word: str, launcher: str, workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match="has no effect in harness"):
        harness.sweep(["seed=0,1", f"hydra/launcher={launcher}", word])
    assert not list(workdir.iterdir())


def test_key_of_another_launcher_is_refused(workdir: Path) -> None:
    with pytest.raises(harness.HarnessError, match=r"hydra\.verbose=true.* has no effect in harness"):
        harness.sweep(["seed=0,1", "hydra.verbose=true"])


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ("run: {dir: x}", "run.dir='x'"),
        ("sweep: {dir: x}", "sweep.dir='x'"),
        ("sweep: {subdir: x}", "sweep.subdir='x'"),
        ("output_subdir: .h", "output_subdir='.h'"),
        ("job: {chdir: true}", "job.chdir=true"),
        ("job: {env_set: {A: '1'}}", "job.env_set"),
        ("verbose: true", "verbose=true"),
        ("callbacks: {a: {_target_: x}}", "callbacks"),
        ("help: {template: x}", "help"),
    ],
)
def test_key_without_effect_is_refused_in_a_file(body: str, key: str, workdir: Path) -> None:
    file = workdir / "mine" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"# @package _global_\nhydra:\n  {body}\n")
    with pytest.raises(harness.HarnessError) as refused:
        composition.compose(["experiment=mine"], "mine")
    part = key.partition("=")[0].partition(".")[0]
    message = f"{file} sets hydra.{part}: only the command line may change how Hydra works"
    assert str(refused.value) == message
    with pytest.raises(harness.HarnessError, match=re.escape(message)):
        harness.sweep(["experiment=mine,digits_mlp"], config_dir="mine")
    assert not (workdir / "outputs").exists()


def test_mode_in_a_file_declares_a_sweep(workdir: Path) -> None:
    file = workdir / "mine" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nhydra: {mode: MULTIRUN}\n")
    with pytest.raises(harness.HarnessError, match=r"^hydra\.mode=MULTIRUN declares a sweep: .* harness\.sweep"):
        harness.run(["experiment=mine"], config_dir="mine")
    with pytest.raises(harness.HarnessError, match=r"^hydra\.mode=RUN says that this is one run"), plain_errors():
        hydra_app.multirun(["hydra.mode=RUN"])
