"""What makes two runs the same run: the settings that matter, the sources of what they use, the data."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import site
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.component import Mark, mark_of
from harness.kinds import KINDS, NONE
from harness.registry import REGISTRY
from harness.schema import KEY
from harness.settings import NOT_IDENTITY

# Who watches and who launches changes no result.
WATCHERS = ("metric", "diagnostic", "logger", "executor")
# Where a run trains is told by the device's type; how many processes share it changes rounding only.
PLACES = ("accelerator", "devices", "num_nodes", "strategy")


def identity(
    values: dict[str, Any], device: str, data_digest: str, trainer_defaults: dict[str, Any], used: dict[str, str]
) -> str:
    """The first 12 hex digits of the SHA-256 of everything that a run's result depends on; `used` are its sources."""
    config = {k: v for k, v in values.items() if k not in (*NOT_IDENTITY, *WATCHERS)}
    config["split"] = {k: v for k, v in values["split"].items() if k != "on_overlap"}
    config["trainer"] = {
        k: v for k, v in values["trainer"].items() if k not in PLACES and v is not None and v != trainer_defaults.get(k)
    }
    whole = {
        "config": config,
        "sources": used,
        "versions": _versions(),
        "device": device,
        "data": data_digest,
    }
    text = json.dumps(whole, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@functools.cache
def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("harness", "torch")}


def components(values: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """(kind, name) of every component whose source a result depends on."""
    for kind in KINDS.values():
        if kind.name in WATCHERS:
            continue
        nodes = values[kind.name].values() if kind.many else [values[kind.name]]
        yield from ((kind.name, node[KEY]) for node in nodes if node[KEY] != NONE or REGISTRY.holds(kind.name, NONE))


def sources(used: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What the components' code is: {top-level package: digest of its files} of their own packages and of the
    first-party packages that these import, {package: version} of the installed ones.
    """
    found: dict[str, str] = {}
    packages = []
    for kind, name in used:
        function = REGISTRY.get(kind, name)
        assert isinstance(mark_of(function), Mark)
        packages.append(function.__module__.partition(".")[0])
    for package in sorted(set(packages)):
        _follow(package, found, own=True)
    for package in found.keys() & sys.modules.keys():
        _first.setdefault(package, found[package])
    return found


_first: dict[str, str] = {}  # what packages were when this process first looked, soon after it imported them


def changed(found: dict[str, str]) -> list[str]:
    """The packages of `sources` that this process has imported as they were before: it would run the old code."""
    return [name for name, digest in found.items() if name in sys.modules and _first.get(name, digest) != digest]


def _follow(package: str, found: dict[str, str], own: bool = False) -> None:
    if package in found or package in sys.stdlib_module_names:
        return
    roots = _roots(package)
    if not roots:
        return
    if not (own or all(_first_party(root) for root in roots)):
        found[package] = _version(package)
        return
    digest, imports = _read(tuple(roots), _stamp(roots))
    found[package] = digest
    for name in imports:
        _follow(name, found)


def _version(package: str) -> str:
    """The versions of the distributions that an installed package comes from."""
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(_owners().get(package, []))))


@functools.cache
def _owners() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _roots(package: str) -> list[str]:
    module = sys.modules.get(package)
    spec = getattr(module, "__spec__", None)
    if spec is None:
        try:
            spec = importlib.util.find_spec(package)
        except (ImportError, ValueError):
            return []
    if spec is None:
        return []
    return list(spec.submodule_search_locations or ([spec.origin] if spec.origin else []))


@functools.cache
def _installed() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(str(Path(folder).resolve()) for folder in folders)


def _first_party(root: str) -> bool:
    """Whether a package is worked on here: it lies outside of the folders where packages are installed."""
    path = Path(root).resolve()
    if root in ("built-in", "frozen") or any(path.is_relative_to(folder) for folder in _installed()):
        return False
    return not _holds_distributions(path.parent)


@functools.cache
def _holds_distributions(folder: Path) -> bool:
    """Whether packages were installed into a folder: another environment's, or one of `pip install --target`."""
    return next(folder.glob("*.dist-info"), None) is not None


def _files(roots: Iterable[str]) -> list[Path]:
    files: list[Path] = []
    for root in map(Path, roots):
        files += [root] if root.is_file() else [p for p in root.rglob("*") if p.is_file()]
    return sorted(p for p in files if "__pycache__" not in p.parts)


def _stamp(roots: Iterable[str]) -> tuple[tuple[str, int, int], ...]:
    return tuple((str(p), (s := p.stat()).st_size, s.st_mtime_ns) for p in _files(roots))


@functools.lru_cache(64)
def _read(roots: tuple[str, ...], stamp: tuple[tuple[str, int, int], ...]) -> tuple[str, tuple[str, ...]]:
    """(digest of all files, top-level packages that the Python files import); the stamp makes a change be seen."""
    h = hashlib.sha256()
    imports: set[str] = set()
    base = Path(roots[0])
    for path in _files(roots):
        content = path.read_bytes()
        name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
        h.update(f"{name}\0{len(content)}\0".encode() + content)
        if path.suffix == ".py":
            imports |= _imports(content)
    return h.hexdigest()[:16], tuple(sorted(imports))


def _imports(source: bytes) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names
