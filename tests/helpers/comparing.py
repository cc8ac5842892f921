"""Run `harness report` in this process, and replace the comparison of records by a synthetic one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.analysis.comparison.model import Comparison
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
