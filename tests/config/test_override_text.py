"""Tests of override text: a string parameter gets exactly what was typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.config import composition
from harness.config.error_messages import plain_errors
from harness.config.override_text import split_value
from harness.config.overrides import expand

QUICK = ["data=moons", "data.n=60", "batch_size=16", "epochs=1", "logger=[]", "diagnostic=[]", "path=alone", "jobs=1"]


@pytest.mark.parametrize(
    "word",
    [
        "2024_01_15",
        "1e5",
        "0x1F",
        "1_000",
        "007",
        "1.10",
        "5.",
        "-5",
        "+5",
        "null",
        "Null",
        "true",
        "TRUE",
        "yes",
        "off",
        "inf",
        "nan",
        "2024-01-15",
        "12:30",
    ],
)
def test_string_setting_keeps_typed_text(word: str) -> None:
    assert composition.compose([f"study={word}"]).values["study"] == word


@pytest.mark.parametrize("word", ["2020_21", "1e5", "true", "null", "007"])
def test_string_parameter_of_a_component_keeps_typed_text(word: str) -> None:
    assert composition.compose(["data=csv", "data.path=x.csv", f"data.target={word}"]).values["data"]["target"] == word


@pytest.mark.parametrize(
    ("word", "value"),
    [("seed=1_000", 1000), ("optimizer.lr=1e-3", 0.001), ("objective=null", None), ("rerun=True", True)],
)
def test_typed_setting_is_parsed(word: str, value: Any) -> None:
    parsed: Any = composition.compose([word]).values
    for key in word.partition("=")[0].split("."):
        parsed = parsed[key]
    assert parsed == value
    assert type(parsed) is type(value)


def test_optional_string_keeps_typed_text() -> None:
    assert composition.compose(["objective=1e5"]).values["objective"] == "1e5"


@pytest.mark.parametrize(("word", "study"), [("${seed}", "3"), ("run_${seed}", "run_3")])
def test_interpolation_in_a_string_setting_is_text(word: str, study: str) -> None:
    assert composition.compose([f"study={word}", "seed=3"]).values["study"] == study


def test_choice_name_may_look_like_a_number(workdir: Path) -> None:
    file = workdir / "mine" / "experiment" / "2024_01.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\nepochs: 3\n")
    assert composition.compose(["experiment=2024_01"], "mine").values["epochs"] == 3
    (record,) = harness.sweep(["experiment=2024_01", *QUICK], config_dir="mine")
    assert record.status == "completed"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("2024_01_15", "20240115"),
        ("1e5", "100000.0"),
        ("0x1F", "31"),
        ("007", "7"),
        ("1.10", "1.1"),
        ("yes", "true"),
        ("null", "null"),
        ("1:30", "90"),
    ],
)
def test_yaml_text_parsed_as_another_type_is_refused(text: str, parsed: str, workdir: Path) -> None:
    file = workdir / "mine" / "experiment" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"# @package _global_\nstudy: {text}\n")
    with pytest.raises(harness.HarnessError) as refused:
        composition.compose(["experiment=mine"], "mine")
    assert str(refused.value) == f"study must be a string, got {parsed}; in a file, put text in quotes: study: '...'"
    file.write_text(f"# @package _global_\nstudy: '{text}'\n")
    assert composition.compose(["experiment=mine"], "mine").values["study"] == text


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("study=2024_01_15,2024_01_16", ["2024_01_15", "2024_01_16"]),
        ("study=choice(1e5,true)", ["1e5", "true"]),
        ("optimizer.lr=1e-3, 1e-2", ["1e-3", "1e-2"]),
        ("seed=range(0,3)", ["0", "1", "2"]),
        ("seed=sort(3,1)", ["1", "3"]),
        ("objective='a,b',c", ["'a,b'", "c"]),
        ("regularizer=[],[l2,dropout]", ["[]", "[l2,dropout]"]),
    ],
)
def test_sweep_keeps_typed_text(word: str, values: list[str]) -> None:
    key = word.partition("=")[0]
    assert expand([word]) == [[f"{key}={value}"] for value in values]


@pytest.mark.parametrize("other", [[], ["hydra/sweeper=basic"], ["hydra/launcher=basic"]], ids=str)
def test_sweepers_and_launchers_keep_typed_text(other: list[str], workdir: Path) -> None:
    words = [*other, "study=2024_01_15,1e5", *QUICK]
    records = harness.sweep(words if other != ["hydra/sweeper=basic"] else [*words, "seed=1"])
    assert [record.study for record in records] == ["2024_01_15", "1e5"]
    assert [record.folder.parent.name for record in records] == ["2024_01_15", "1e5"]
    assert not {"20240115", "100000.0"} & {path.name for path in (workdir / "outputs").iterdir()}


def test_printed_config_keeps_typed_text(capsys: pytest.CaptureFixture[str]) -> None:
    from harness.cli import main

    with pytest.raises(SystemExit) as stop, plain_errors():
        main(["study=2024_01_15", "data=csv", "data.path=1e5", "data.target=007", "--cfg", "job"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "study: '2024_01_15'" in shown or "study: 2024_01_15" in shown
    assert "path: '1e5'" in shown
    assert "target: '007'" in shown


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("a,b", ["a", "b"]),
        ("'a,b', c", ["'a,b'", "c"]),
        ("[a,b],{c: d,e: f}", ["[a,b]", "{c: d,e: f}"]),
        ("a\\,b,c", ["a\\,b", "c"]),
    ],
)
def test_pieces_splits_at_top_level_commas(text: str, split: list[str]) -> None:
    assert split_value(text) == split
