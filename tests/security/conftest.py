"""A study, a config folder and a working folder from a stranger, and something of the user's that they reach for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.results.record import Record, write

SECRET = "mine\n"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the user's with files that nobody may touch."""
    folder = tmp_path_factory.mktemp("mine")
    for name in ("config.yaml", "x.json", "notes"):
        (folder / name).write_text(SECRET)
    return folder


@pytest.fixture(autouse=True)
def untouched(mine: Path) -> Any:
    """After each test, all of it is as it was."""
    yield
    assert {path.name: path.read_text() for path in mine.iterdir()} == dict.fromkeys(
        ("config.yaml", "x.json", "notes"), SECRET
    )


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command: its status, its output, what it said."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(words))
        said = capsys.readouterr()
        return int(stop.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def study(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two good runs."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    folder = workdir / "outputs" / "dl"
    for number in range(2):
        good(folder, number)
    return folder


def good(study: Path, number: int, **more: Any) -> Path:
    """A run whose record can be read."""
    folder = study / f"seed={number}-{number:012x}"
    folder.mkdir(parents=True)
    config = {"seed": number, "objective": "val/loss"}
    metrics = {"val/loss": 0.5}
    fields: dict[str, Any] = {"status": "completed", "config": config, "metrics": metrics, **more}
    write(Record(f"{number:012x}", fields.pop("name", f"seed={number}"), "dl", **fields, folder=folder))
    return folder


def bad(outer: Path, /, **changes: Any) -> Path:
    """A run whose record says something else."""
    folder = good(outer, 0xBAD)
    row = json.loads((folder / "record.json").read_text()) | changes
    (folder / "record.json").write_text(json.dumps(row))
    return folder
