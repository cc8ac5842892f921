"""Folders of YAML files: harness's own, and those that plugins bring as `pkg://package.folder`."""

from __future__ import annotations

import importlib.util
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

SCHEME = "pkg://"


def conf_dir() -> Path:
    """harness's own config folder: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def own_presets() -> set[str]:
    """The names (`group/name`) of harness's own files."""
    return set(names_in(conf_dir()))


def plugin_presets(folder: str) -> list[str]:
    """The names in a plugin's folder. Raises ValueError for a folder that Hydra could not search."""
    if not isinstance(folder, str) or not folder.startswith(SCHEME):
        raise ValueError(f"a folder of presets is written 'pkg://package.folder', got {folder!r}")
    try:
        root = files(folder.removeprefix(SCHEME).replace("/", "."))
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: {error} (a folder of presets is a package: it holds an __init__.py)") from error
    names = names_in(root)
    if not names:
        raise ValueError(f"{folder} holds no presets: GROUP/NAME.yaml (does the wheel carry them?)")
    from harness.registry.preset_files import check_file  # it knows Hydra's keys, which no one else here needs

    for name in names:
        path = root.joinpath(f"{name}.yaml")
        if isinstance(path, Path):
            check_file(path, stranger=False)
    return names


def located(folder: str) -> str:
    """A plugin's folder as `file://...`, found without importing the plugin, which may import torch; as it is where
    it is no plain folder."""
    top, *rest = folder.removeprefix(SCHEME).replace("/", ".").split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    for root in (spec and spec.submodule_search_locations) or ():
        path = Path(root, *rest)
        if path.is_dir():
            return f"file://{path}"
    return folder


def names_in(folder: Traversable) -> list[str]:
    """`group/name` of every YAML file below a folder."""
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += [f"{entry.name}/{name}" for name in names_in(entry)]
        elif entry.name.endswith(".yaml"):
            found.append(entry.name.removesuffix(".yaml"))
    return sorted(found)
