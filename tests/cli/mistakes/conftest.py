"""Fixtures for tables of mistakes: a working folder with data, and the assertions on every refusal."""

from __future__ import annotations

import os
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli import main

Refused = Callable[[str | list[str]], str]


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def refused(workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Run a line with a mistake, assert the promises on every refusal, and return the message."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def run(line: str | list[str]) -> str:
        before = _files(workdir)
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(line) if isinstance(line, str) else line)
        output = capsys.readouterr()
        assert stop.value.code == 2, output
        assert output.out == ""
        assert output.err.startswith("harness: error: ")
        assert output.err.count("\n") == 1, output.err
        assert output.err.endswith("\n")
        assert "Traceback" not in output.err
        assert "HYDRA_FULL_ERROR" not in os.environ
        assert _files(workdir) == before, "something was written"
        return output.err.removeprefix("harness: error: ").rstrip("\n")

    return run
