"""The layout of the code keeps its limits, and docs/explanation/architecture.md tells of all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HARNESS = ROOT / "harness"
ENTRIES, FILES, LINES = 12, 16, 500  # maxima: at the root of harness/, in a package, in a file
TREES = [HARNESS, *(ROOT / "plugins").glob("harness_*")]
PACKAGES = [folder for tree in TREES for folder in (tree, *tree.rglob("*")) if any(folder.glob("*.py"))]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_root_has_few_entries() -> None:
    entries = [p.name for p in HARNESS.iterdir() if p.suffix == ".py" or any(p.rglob("*.py"))]
    entries = [name for name in entries if not name.startswith("_")]
    assert len(entries) <= ENTRIES, sorted(entries)


@pytest.mark.parametrize("package", PACKAGES, ids=_name)
def test_package_has_few_files(package: Path) -> None:
    files = sorted(p.name for p in package.glob("*.py") if p.name != "__init__.py")
    assert len(files) <= FILES, files


def test_no_file_is_long() -> None:
    long = {_name(p): n for tree in TREES for p in tree.rglob("*.py") if (n := len(p.read_text().splitlines())) > LINES}
    assert long == {}


def test_architecture_page_names_every_package() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    packages = [p.name for p in HARNESS.rglob("*") if (p / "__init__.py").is_file()]
    assert packages
    assert [name for name in packages if f"`{name}/`" not in page] == []


def test_architecture_page_names_files_that_exist() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    named = {word for word in page.split("`") if word.endswith(".py") and "/" in word}
    roots = (ROOT, HARNESS)
    assert named
    assert sorted(name for name in named if not any((root / name).is_file() for root in roots)) == []
