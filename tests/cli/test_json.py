"""Tests of `--json`: every command that answers prints one JSON value, whose keys are stable, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli import main, verbs

QUICK = ["data=iris", "model=logistic", "epochs=1", "logger=[]", "diagnostic=[]"]
WITHOUT = {"board": "it is a server", "schema": "its output is JSON"}


@pytest.fixture
def ask(workdir: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    harness.sweep([*QUICK, "seed=0,1", "study=first"])
    harness.run([*QUICK, "seed=2", "study=second"])

    def ask(*words: str) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*words, "--json"])
        captured = capsys.readouterr()
        assert (stop.value.code or 0, captured.err) == (0, "")
        return json.loads(captured.out)

    return ask


def test_every_command_has_json_but_those_with_a_reason() -> None:
    folder = Path(verbs.__file__).parent
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    without = {name for name in names if '"--json"' not in (folder / f"{name}.py").read_text(encoding="utf-8")}
    assert without == set(WITHOUT)


def test_commands_that_write_say_what_they_wrote(ask: Callable[..., Any]) -> None:
    row = ask("export", "first", "--to", "first.zip")
    assert (row["to"], row["file"], row["runs"], row["left_out"]) == ("first.zip", "first.zip", 2, [])
    assert ask("export", "first", "--to", "first.csv") == {"to": "first.csv", "file": "first.csv", "runs": 2}
    row = ask("merge", "first", "second")
    assert (Path(row["into"]), row["added"], row["conflicts"]) == (Path("outputs/first"), 1, [])
    row = ask("new", "swirl")
    assert "swirl/activation.py" in row["files"]
    assert row["next"][0] == "pip install --editable ./swirl"


def test_removed_runs_are_listed(ask: Callable[..., Any]) -> None:
    (record,) = harness.load("outputs/second")
    row = ask("rm", "second", "--all", "--yes")
    assert row == {"removed": [{"id": record.id, "name": record.name}], "kept": 0}
    assert ask("rm", "first", "status=failed")["removed"] == []


def test_component_is_shown_as_it_is_listed(ask: Callable[..., Any]) -> None:
    shown = ask("show", "optimizer/adam")
    assert shown in ask("list", "optimizer")
    assert {row["name"] for row in shown["parameters"]} >= {"lr", "betas"}
