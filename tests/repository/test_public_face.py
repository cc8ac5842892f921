"""Tests that plugins import only the public names of harness, and that each of these exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {"harness", "harness.space", "harness.testing"}
FACES = {ROOT / "plugins" / "harness_doctor" / name for name in ("engine.py", "engine_training.py")}  # the others
PLUGINS = sorted({*(ROOT / "plugins").rglob("*.py")} - FACES)


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """Return (module, name) of every import of harness in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "harness")


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.relative_to(ROOT / "plugins").as_posix())
def test_plugin_imports_only_public_names(path: Path) -> None:
    imports = list(_imports(path))
    assert [pair for pair in imports if pair[0] not in PUBLIC] == []
    assert [name for module, name in imports if module == "harness" and name and name not in harness.__all__] == []


@pytest.mark.parametrize("name", harness.__all__)
def test_public_name_can_be_imported(name: str) -> None:
    assert getattr(harness, name) is not None
    assert name in dir(harness)


def test_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'nothing'"):
        harness.nothing  # noqa: B018
