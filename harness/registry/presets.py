"""Find preset files: those of harness, and those of plugins in `pkg://package.folder`."""

from __future__ import annotations

import importlib.util
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

SCHEME = "pkg://"


def conf_dir() -> Path:
    """Return harness's own config folder: inside the package when installed, beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "conf"
    return inside if inside.is_dir() else here.parent / "conf"


def builtin_presets() -> set[str]:
    """Return the names (`group/name`) of harness's own presets."""
    return set(names_in(conf_dir()))


def plugin_presets(folder: str) -> list[str]:
    """Return the names of the presets in a plugin's folder.

    Args:
        folder: The folder as `pkg://package.folder`.

    Raises:
        ValueError: If Hydra could not search the folder.
    """
    if not isinstance(folder, str) or not folder.startswith(SCHEME):
        raise ValueError(f"a folder of presets is written 'pkg://package.folder', got {folder!r}")
    try:
        root = files(folder.removeprefix(SCHEME).replace("/", "."))
    except (ImportError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: {error} (a folder of presets is a package: it holds an __init__.py)") from error
    names = names_in(root)
    if not names:
        raise ValueError(f"{folder} holds no presets: GROUP/NAME.yaml (are they missing from the wheel?)")
    from harness.registry.preset_files import check_file  # imports Hydra, which nothing else here needs

    for name in names:
        path = root.joinpath(f"{name}.yaml")
        if isinstance(path, Path):
            check_file(path, stranger=False)
    return names


def file_url(folder: str) -> str:
    """Return the `file://...` of a plugin's `pkg://...` folder, or the argument if it is not a folder on disk.

    The plugin is not imported, since it may import torch.
    """
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
    """Return `group/name` of every YAML file below a folder, sorted."""
    names = []
    for entry in folder.iterdir():
        if entry.is_dir():
            names += [f"{entry.name}/{name}" for name in names_in(entry)]
        elif entry.name.endswith(".yaml"):
            names.append(entry.name.removesuffix(".yaml"))
    return sorted(names)
