"""Tests that the doctor is a plugin: harness does not import it, and reading files does not import torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.helpers.commands import python

ROOT = Path(__file__).resolve().parents[3]


def imported(file: Path) -> set[str]:
    """Return the modules that a file imports."""
    nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_harness_does_not_import_the_doctor() -> None:
    files = [*(ROOT / "harness").rglob("*.py")]
    assert files
    assert [f.name for f in files if any(n.startswith("harness_doctor") for n in imported(f))] == []


@pytest.mark.parametrize("module", ["harness_doctor", "harness_doctor.engine", "harness_doctor.summary"])
def test_reading_files_does_not_import_torch(module: str, workdir: Path) -> None:
    assert python(f"import sys, {module}; print('torch' in sys.modules)", cwd=workdir) == "False\n"
