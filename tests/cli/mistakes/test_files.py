"""Tests of mistakes in a user's folder of configs, the outputs folder, and the command as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import hydra
import pytest

import harness

from .conftest import Refused

HEAD = "# @package _global_\n"
TAB = "'\\t'" if hydra.__version__.startswith("1.3.") else "that cannot start any token"
EXPERIMENTS = {
    "a key twice": (HEAD + "seed: 0\nseed: 1\n", "e.yaml, line 3, column 1: there are two keys seed"),
    "an open bracket": (HEAD + "seed: [0\n", "e.yaml, line 3, column 1: expected ',' or ']'"),
    "a tab": ("\tseed: 0\n", f"e.yaml, line 1, column 1: found character {TAB}"),
    "Python": ("a: !!python/object/apply:os.system ['ls']\n", "e.yaml, line 1, column 4: could not determine"),
    "a wrong type": (HEAD + "seed: fast\n", "seed must be a whole number >= 0"),
    "an unknown key": (HEAD + "sed: 1\n", "unknown key 'sed'. Did you mean 'seed'?"),
    "an unknown setting": (
        HEAD + "optimizer:\n  lrr: 1\n",
        "unknown key 'optimizer.lrr'. Did you mean 'optimizer.lr'?",
    ),
    "an unknown option": (
        HEAD + "defaults:\n  - override /optimizer: adm\n",
        "no optimizer 'adm'. Did you mean 'adam'",
    ),
    "an unknown group": (
        HEAD + "defaults:\n  - override /optimizr: adam\n",
        "experiment/e.yaml: there is no group 'optimizr' to choose from. Did you mean 'optimizer'?",
    ),
    "a choice without override": (HEAD + "defaults:\n  - /optimizer: sgd\n", "write 'override optimizer: sgd'"),
    "defaults that are no list": (HEAD + "defaults: 3\n", "defaults must be a list"),
    "a setting of what is not chosen": (
        HEAD + "regularizer:\n  dropout:\n    p: 0.3\n",
        "regularizer.dropout is set but not chosen: choose it with 'regularizer=[dropout]'",
    ),
    "a list chosen in the body": (HEAD + "regularizer: [l2]\n", "in its defaults list: - override /KIND: [...]"),
    "a choice in the body": (HEAD + "optimizer: sgd\n", "in a file's defaults ('override /optimizer: ...')"),
    "Python to import": (HEAD + "optimizer:\n  _target_: os.system\n", "never names Python to import"),
    "no package": ("seed: 1\n", "begin it with # @package _global_"),
    "a list": ("- 1\n- 2\n", "begin it with # @package _global_"),
    "words": ("just words\n", "begin it with # @package _global_"),
}


@pytest.mark.parametrize("case", EXPERIMENTS)
def test_unusable_experiment_is_refused(refused: Refused, workdir: Path, case: str) -> None:
    content, words = EXPERIMENTS[case]
    path = workdir / "mine" / "experiment" / "e.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert words in refused("--config-dir mine experiment=e")


PRESETS = [
    ("optimizer/adam.yaml", "lr: 1\n", "", "the name optimizer/adam is taken by dl-harness; rename the file"),
    ("trainer/auto.yaml", "x: 1\n", "", "the name trainer/auto is taken by dl-harness; rename the file"),
    ("config.yaml", "seed: 1\n", "", "the name config is taken by dl-harness; rename the file"),
    ("optimizer/mine.yaml", "lr: 1\n", "optimizer=mine", "optimizer is set but not chosen"),
    ("optimizer/mine.yaml", "_component_: mine\n", "optimizer=mine", "no optimizer 'mine'. Known: "),
    ("optimizer/mine.yaml", "defaults: [adm]\n", "optimizer=mine", "no optimizer 'adm'. Did you mean 'adam'"),
    ("optimizer/mine.yaml", "defaults: [adam]\nlr: fast\n", "optimizer=mine", "optimizer.lr must be a number > 0"),
    ("optimizer/mine.yaml", "defaults: [adam]\nlrr: 1\n", "optimizer=mine", "unknown key 'optimizer.lrr'"),
    ("trainer/mine.yaml", "max_epochs: 1\n", "trainer=mine", "trainer.max_epochs is managed by harness"),
    ("experiment/mine.yaml", HEAD, "experiment=mien", "no experiment 'mien'. Did you mean 'mine'?"),
]


@pytest.mark.parametrize(("name", "content", "line", "words"), PRESETS)
def test_unusable_preset_is_refused(
    refused: Refused, workdir: Path, name: str, content: str, line: str, words: str
) -> None:
    path = workdir / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text(content)
    assert words in refused(f"--config-dir mine {line}")


def test_config_dir_that_is_no_folder_is_refused(refused: Refused, workdir: Path) -> None:
    (workdir / "file").write_text("")
    for name in ("nowhere", "file"):
        assert f"--config-dir: no folder {name}" in refused(f"--config-dir {name} seed=0")


@pytest.mark.parametrize("line", ["", "-m", "--cfg job", "--config-dir mine"])
def test_hydra_searchpath_is_refused(refused: Refused, workdir: Path, line: str) -> None:
    (workdir / "mine").mkdir()
    assert "searched with --config-dir FOLDER" in refused(f"{line} hydra.searchpath=[file://mine]".strip())


@pytest.mark.parametrize("line", ["study=s", "study=s/t", "-m study=s seed=0,1"])
@pytest.mark.parametrize("file", ["outputs", "outputs/s"])
def test_unwritable_outputs_are_refused(refused: Refused, workdir: Path, file: str, line: str) -> None:
    path = workdir / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")
    assert "cannot write outputs/s" in refused(f"data=iris epochs=1 {line}")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="may write everywhere")
def test_write_protected_folder_is_refused(refused: Refused, workdir: Path) -> None:
    workdir.chmod(0o500)
    try:
        assert "cannot write outputs/scratch/" in refused("data=iris epochs=1")
    finally:
        workdir.chmod(0o700)


def test_study_without_runs_is_refused(refused: Refused, workdir: Path) -> None:
    torn = workdir / "outputs" / "mine" / "run" / "record.json"
    torn.parent.mkdir(parents=True)
    torn.write_text("torn {")
    assert "no study 'mien', neither as a folder nor under outputs/. Did you mean 'mine'?" in refused("report mien")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the record that was left out is warned of on a line of its own
        assert "no runs in mine" in refused("report mine")
    with pytest.warns(UserWarning, match=r"left out: .*record\.json: it is torn"):
        harness.load("mine")


def _harness(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", *words]
    kept = {k: v for k, v in os.environ.items() if k != "HYDRA_FULL_ERROR"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=kept | environment, check=False, timeout=120
    )


@pytest.mark.parametrize(
    "words", [["optimizer=adm"], ["optimizer.lr=fast"], ["show", "optimizer/adm"], ["batch_size=99999"], ["--nope"]]
)
def test_command_ends_with_2_and_one_line(workdir: Path, words: list[str]) -> None:
    done = _harness(workdir, *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("harness: error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert not list(workdir.iterdir())


@pytest.mark.parametrize("words", [["optimizer.lr=fast"], ["show", "optimizer/adm"]])
def test_traceback_is_shown_on_request(workdir: Path, words: list[str]) -> None:
    done = _harness(workdir, *words, HYDRA_FULL_ERROR="1")
    assert done.returncode != 0
    assert done.stderr.startswith("Traceback")
    assert "HarnessError" in done.stderr
    assert not list(workdir.iterdir())
