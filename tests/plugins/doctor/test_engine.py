"""The doctor is a plugin: it imports inner modules of harness in two files, and harness does not import it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.helpers.commands import python

ROOT = Path(__file__).resolve().parents[3]
FACES = ("engine.py", "engine_training.py")


def imported(file: Path) -> set[str]:
    """The modules that a file imports."""
    nodes = [*ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_inner_modules_are_imported_in_one_place() -> None:
    files = [f for f in (ROOT / "plugins" / "harness_doctor").rglob("*.py") if f.name not in FACES]
    assert len(files) > 10
    inner = {f.name: names for f in files if (names := {n for n in imported(f) if n.startswith("harness.")})}
    assert inner == {}


def test_harness_does_not_know_the_doctor() -> None:
    files = [*(ROOT / "harness").rglob("*.py")]
    assert [f.name for f in files if any(n.startswith("harness_doctor") for n in imported(f))] == []


@pytest.mark.parametrize("module", ["harness_doctor", "harness_doctor.engine", "harness_doctor.summary"])
def test_what_reads_files_alone_does_not_import_torch(module: str, workdir: Path) -> None:
    assert python(f"import sys, {module}; print('torch' in sys.modules)", cwd=workdir) == "False\n"
