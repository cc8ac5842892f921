"""Tests that presets are data: they change a run's config, and not how Hydra works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.config.composition import compose, with_config_dir
from harness.registry.preset_files import check_file, check_folder
from harness.system.errors import HarnessError
from tests.security.conftest import Command

GLOBAL = "# @package _global_\n"
CALLBACK = "{x: {_target_: torch.utils.collect_env.run, command: 'touch mine'}}"


def preset(folder: Path, text: str, name: str = "experiment/evil.yaml") -> Path:
    path = folder / "conf" / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{GLOBAL}hydra: {{callbacks: {CALLBACK}}}", "hydra.callbacks"),
        (f"# @package hydra.callbacks\n{CALLBACK}", "package hydra.callbacks"),
        (f"# @package _global_.hydra\ncallbacks: {CALLBACK}", "package _global_.hydra"),
        (f"{GLOBAL}base: &b {{hydra: {{callbacks: {CALLBACK}}}}}\n<<: *b", "hydra.callbacks"),
        (f"{GLOBAL}hydra: {{sweeper: {{_target_: os.system}}}}", "hydra.sweeper._target_"),
        (f"{GLOBAL}hydra: {{launcher: {{_target_: os.system}}}}", "hydra.launcher._target_"),
        (f"{GLOBAL}hydra: {{launcher: {{setup: [touch mine]}}}}", "hydra.launcher.setup"),
        (f'{GLOBAL}hydra: {{launcher: {{partition: "a\\ntouch mine"}}}}', "hydra.launcher.partition"),
        (f"{GLOBAL}hydra: {{sweeper: {{sampler: {{_target_: os.system}}}}}}", "hydra.sweeper.sampler"),
        (f"{GLOBAL}hydra: {{sweeper: {{params: {{+hydra.callbacks.x._target_: os.system}}}}}}", "hydra.sweeper.params"),
        (f"{GLOBAL}hydra: {{sweeper: {{zip: [[hydra.run.dir, seed]]}}}}", "hydra.sweeper.zip"),
        (f"{GLOBAL}hydra: {{sweeper: {{variants: [[seed=1, ++hydra.run.dir=/]]}}}}", "hydra.sweeper.variants"),
        (f"{GLOBAL}hydra: {{sweeper: {{variants: hydra.run.dir=/}}}}", "hydra.sweeper.variants"),
        (f"{GLOBAL}hydra: {{job_logging: {{handlers: {{x: {{'()': os.system}}}}}}}}", "hydra.job_logging"),
        (f"{GLOBAL}hydra: {{searchpath: [file:///]}}", "hydra.searchpath"),
        (f"{GLOBAL}hydra: {{run: {{dir: /}}}}", "hydra.run"),
        (f"{GLOBAL}hydra: 3", "hydra"),
        (f"{GLOBAL}defaults: [{{override /hydra/job_logging: default}}]", "override /hydra/job_logging"),
        (f"{GLOBAL}defaults: [{{/experiment@hydra.callbacks: other}}]", "/experiment@hydra.callbacks"),
        (f"{GLOBAL}defaults: [/experiment@hydra: other]", "/experiment@hydra"),
        (f"{GLOBAL}defaults: [{{override /hydra/launcher: '${{x}}'}}]", "override /hydra/launcher"),
    ],
)
def test_preset_that_sets_hydra_keys_is_refused(text: str, what: str, tmp_path: Path) -> None:
    path = preset(tmp_path, text)
    with pytest.raises(HarnessError) as refused:
        check_file(path)
    assert str(refused.value).startswith(f"{path} sets {what}")
    with pytest.raises(HarnessError, match="sets"):  # even if it is not chosen, before anything is composed
        compose([], str(tmp_path / "conf"))


@pytest.mark.parametrize(
    "value",
    ["${oc.env:HOME}", "${ oc.env:HOME}", "a${oc.decode:x}b", "${${name}:HOME}", "${oc${x}:HOME}", "${hydra:runtime}"],
)
def test_interpolation_beyond_the_config_is_refused(value: str, tmp_path: Path) -> None:
    path = preset(tmp_path, f"{GLOBAL}study: '{value}'\n")
    with pytest.raises(HarnessError, match="reads more than the config"):
        check_file(path)
    check_file(path, stranger=False)  # a plugin's preset, whose code may do so anyway


@pytest.mark.parametrize(
    "text",
    [
        "epochs: 3\nstudy: a-${seed}-${optimizer.lr}",
        "hydra: {sweeper: {params: {seed: '0,1', optimizer.lr: 'choice(0.1, 0.2)'}}, mode: MULTIRUN}",
        "hydra: {sweeper: {zip: [seed, optimizer.lr], variants: [[], [optimizer=sgd, 'study=a-${seed}']]}}",
        "defaults: [{override /hydra/launcher: joblib}, {override /optimizer: sgd}]\nhydra: {launcher: {n_jobs: 2}}",
    ],
)
def test_preset_of_config_values_is_accepted(text: str, tmp_path: Path) -> None:
    check_file(preset(tmp_path, GLOBAL + text))


def test_folder_of_hydra_options_is_refused(tmp_path: Path) -> None:
    preset(tmp_path, "_target_: os.system", "hydra/launcher/mine.yaml")
    with pytest.raises(HarnessError, match="must not hold options of Hydra"):
        check_folder(tmp_path / "conf")


def test_special_files_links_and_bombs_are_refused(tmp_path: Path) -> None:
    path = preset(tmp_path, "epochs: 1")
    conf = tmp_path / "conf"
    (conf / "experiment" / "out").symlink_to("/", target_is_directory=True)
    with pytest.raises(HarnessError, match="out is a link to a folder"):
        check_folder(conf)
    (conf / "experiment" / "out").unlink()
    bomb = "\n".join(f"x{i + 1}: &x{i + 1} [{', '.join([f'*x{i}'] * 10)}]" for i in range(9))
    path.write_text(f"x0: &x0 1\n{bomb}\n")
    with pytest.raises(HarnessError, match="holds more than 100,000 values"):
        check_folder(conf)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(HarnessError, match=r"evil\.yaml is a pipe"):
        with_config_dir([], str(conf))


def test_command_refuses_a_preset_in_one_line(workdir: Path, command: Command) -> None:
    path = preset(workdir, f"{GLOBAL}hydra: {{callbacks: {CALLBACK}}}")
    status, out, errors = command("-m", "--config-dir", "conf", "+experiment=evil", "seed=0,1")
    assert (status, out) == (2, "")
    assert errors == f"harness: error: {path} sets hydra.callbacks: only the command line may change how Hydra works\n"
