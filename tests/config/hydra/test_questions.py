"""Tests of Hydra's own flags: `--cfg`, `--help` and `--info`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from hydra import compose
from omegaconf import OmegaConf

from harness.cli import main
from harness.config import composition
from harness.registry import catalogue
from harness.registry.kinds import KINDS


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what a command prints on standard output; it prints nothing else."""

    def run(*words: str) -> str:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        output = capsys.readouterr()
        assert stop.value.code == 0, output.err
        assert output.err == ""
        return output.out

    return run


def test_cfg_job_prints_the_config_of_the_run(printed: Callable[..., str]) -> None:
    words = ["optimizer=sgd", "optimizer.lr=0.5", "regularizer=[l2]"]
    text = printed(*words, "--cfg", "job")
    with composition.hydra_session():
        composed = compose("config", words)
    assert yaml.safe_load(text) == OmegaConf.to_container(composed)
    assert "hydra" not in yaml.safe_load(text)


def test_help_lists_every_group_and_fits_a_screen(printed: Callable[..., str]) -> None:
    text = printed("--help")
    groups = {line.partition(":")[0].strip(): line.partition(": ")[2] for line in text.splitlines() if ": " in line}
    for kind in KINDS:
        assert groups[kind].split(", ")[0] in {"auto", *catalogue.current().names(kind), "standard"}, kind
    assert groups["optimizer"].startswith("adam, ")
    assert groups["optimizer"].endswith(" more")
    assert groups["trainer"] == "auto, cpu, gpu"
    assert len(text.splitlines()) <= 60
    assert printed("help") == text
    assert printed("help", "report") == printed("report", "--help")
    assert "is powered by Hydra" not in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("+lr=3 --cfg job", "unknown key 'lr'."),
        ("+lr=3 --cfg all", "unknown key 'lr'."),
        ("+lr=3 --cfg job --package optimizer", "unknown key 'lr'."),
        ("+lr=3 --info defaults-tree", "unknown key 'lr'."),
        ("+lr=3 --help", "unknown key 'lr'."),
        ("epochs=0 --cfg job", "epochs must be >= 1, got 0"),
        ("trainer.precision=16-mixed --info config", "trainer.precision=16-mixed needs loss scaling"),
        ("data=csv +lr=3 --cfg job", "unknown key 'lr'."),
        ("-m seed=0,1 --cfg job", "--cfg, --info and --help show one run, not a sweep: leave out -m, and give each"),
        ("-m zip=[seed,epochs] --cfg job", "--cfg, --info and --help show one run, not a sweep: leave out -m"),
        ("zip=[seed,epochs] --cfg job", "zip=[seed,epochs] only has an effect in a sweep: write harness -m"),
        ("task.standardise=false --cfg job", "unknown key 'task.standardise'. Did you mean 'task.standardize'?"),
    ],
)
def test_cfg_refuses_wrong_overrides_as_a_run_does(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(line.split())
    output = capsys.readouterr()
    assert (stop.value.code, output.out) == (2, "")
    assert output.err.startswith(f"harness: error: {message}")
    assert len(output.err.splitlines()) == 1


def test_cfg_shows_a_config_with_missing_values(printed: Callable[..., str]) -> None:
    assert yaml.safe_load(printed("data=csv", "--cfg", "job", "-p", "data"))["target"] == "???"


def test_cfg_shows_settings_typed_for_auto(printed: Callable[..., str]) -> None:
    shown = yaml.safe_load(printed("task.standardize=false", "--cfg", "job", "-p", "task"))
    assert shown == {"_component_": "auto", "standardize": False}
