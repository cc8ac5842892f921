"""Run `harness report` in this process, and replace the comparison of records by a synthetic one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.analysis.comparison.model import Comparison
from harness.cli import main
from harness.results.record import Record


def install(monkeypatch: pytest.MonkeyPatch, result: Comparison | Exception) -> list[dict[str, Any]]:
    """Make `compare` return a comparison or raise an error; return the list of the arguments of its calls."""
    calls: list[dict[str, Any]] = []

    def compare(records: Sequence[Record], **arguments: Any) -> Comparison:
        calls.append({"records": records, **arguments})
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setitem(sys.modules, "harness.analysis.comparison.compare", SimpleNamespace(compare=compare))
    return calls


def reporter(study: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs `harness report STUDY WORDS`; it returns the status, the output and the messages."""

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["report", study, *words])
        output = capsys.readouterr()
        return int(stop.value.code or 0), output.out, output.err

    return run
