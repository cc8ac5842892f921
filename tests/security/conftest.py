"""Fixtures for hostile input: a study, a config folder and a working folder of a stranger, and files of the user."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.results.record import Record, write
from tests.helpers.in_process import Command, runner

SECRET = "mine\n"


@pytest.fixture
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the user's files, which must not be touched."""
    folder = tmp_path_factory.mktemp("mine")
    for name in ("config.yaml", "x.json", "notes"):
        (folder / name).write_text(SECRET)
    return folder


@pytest.fixture(autouse=True)
def untouched(mine: Path) -> Any:
    """Check after each test that the user's files are unchanged."""
    yield
    assert {path.name: path.read_text() for path in mine.iterdir()} == dict.fromkeys(
        ("config.yaml", "x.json", "notes"), SECRET
    )


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command; return its status, its output and its messages."""
    return runner(capsys)


@pytest.fixture
def study(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study of two good runs."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    folder = workdir / "outputs" / "dl"
    for number in range(2):
        good(folder, number)
    return folder


def good(study: Path, number: int, **more: Any) -> Path:
    """Write a run with a readable record."""
    folder = study / f"seed={number}-{number:012x}"
    folder.mkdir(parents=True)
    config = {"seed": number, "objective": "val/loss"}
    metrics = {"val/loss": 0.5}
    fields: dict[str, Any] = {"status": "completed", "config": config, "metrics": metrics, **more}
    write(Record(f"{number:012x}", fields.pop("name", f"seed={number}"), "dl", **fields, folder=folder))
    return folder


def bad(outer: Path, /, **changes: Any) -> Path:
    """Write a run with a wrong record."""
    folder = good(outer, 0xBAD)
    row = json.loads((folder / "record.json").read_text()) | changes
    (folder / "record.json").write_text(json.dumps(row))
    return folder
