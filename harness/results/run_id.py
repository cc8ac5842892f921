"""What makes two runs the same run: the settings that matter, the sources of what they use, the data."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import itertools
import json
import os
import re
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.config.settings import NOT_IDENTITY
from harness.registry import catalogue
from harness.registry.component import Mark, mark_of
from harness.registry.kinds import KEY, KINDS, NONE
from harness.registry.registry import REGISTRY
from harness.registry.scanning.dependencies import installed

# Who watches and who launches changes no result.
WATCHERS = ("metric", "diagnostic", "logger", "executor")
# Where a run trains is told by the device's type; how many processes share it changes rounding only.
_IMPORTERS = (
    "import_module",
    "__import__",
    "find_spec",
    "run_module",
)  # of a module whose name is their first argument
_FILE_NAME = re.compile(r"[\w.*/ -]{2,100}")
MANY = 1000  # files that one name in a module's text may stand for
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
    beside: set[str] = set()
    known = catalogue.current()
    for kind, name in used:
        function = REGISTRY.get(kind, name)
        assert isinstance(mark_of(function), Mark)
        packages.append(function.__module__.partition(".")[0])
        beside |= set(known.files_of(kind, name))
    for package in sorted(set(packages)):
        _follow(package, found, own=True)
    for path in sorted(beside):
        _add(path, found)
    for package in found.keys() & sys.modules.keys():
        _first.setdefault(package, found[package])
    return found


_first: dict[str, str] = {}  # of the process: digests of packages, soon after it imported them


def forget(package: str) -> None:
    """Forget the digest of a package that this process no longer holds."""
    _first.pop(package, None)


def changed(found: dict[str, str]) -> list[str]:
    """The packages of `sources` that this process has imported as they were before: it would run the old code."""
    return [name for name, digest in found.items() if name in sys.modules and _first.get(name, digest) != digest]


def _follow(package: str, found: dict[str, str], own: bool = False) -> None:
    if package in found or package in sys.stdlib_module_names:
        return
    roots = _roots(package)
    if not roots:
        return
    read = roots if own else [root for root in roots if _first_party(root)]  # a namespace may lie in both
    if not read:
        found[package] = _version(package)
        return
    digest, imports = _read(tuple(read), _stamp(read))
    found[package] = digest if len(read) == len(roots) else f"{digest}, {_version(package)}"
    for name in imports:
        _follow(name, found)


def _add(path: str, found: dict[str, str]) -> None:
    """Adds a file that a plugin has opened while it was loaded: what it imports in some way that its text does not
    tell, or data. It counts by its content, and by its name alone: a checkout may lie anywhere.
    """
    if any(Path(path).is_relative_to(root) for name in found for root in _roots(name)):
        return  # with its package
    content = _read((path,), _stamp([path]))[0]
    name = Path(path).name
    found[name] = content if name not in found else hashlib.sha256(f"{found[name]}{content}".encode()).hexdigest()[:16]


@functools.cache
def _version(package: str) -> str:
    """Return the versions of the distributions that an installed package comes from, read once in a process."""
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


def _first_party(root: str) -> bool:
    """Whether a package is worked on here: it lies outside of the folders where packages are installed."""
    path = Path(root).resolve()
    if root in ("built-in", "frozen") or any(path.is_relative_to(folder) for folder in installed()):
        return False
    return not _holds_distributions(path.parent)


@functools.cache
def _holds_distributions(folder: Path) -> bool:
    """Whether packages were installed into a folder: another environment's, or one of `pip install --target`."""
    return next(folder.glob("*.dist-info"), None) is not None


Stamp = tuple[tuple[str, int, int, int, int], ...]


def _files(roots: Iterable[str]) -> list[str]:
    """Return the files below folders, also through links to folders, as imports go, and the data files that a module
    without a package names. Entries that are no files may be among them.
    """
    files: list[str] = []
    for root in roots:
        if os.path.isfile(root):
            files += [root, *map(str, _named(root))]
            continue
        seen: set[tuple[int, int]] = set()  # device and inode of folders
        for folder, folders, names in os.walk(root, followlinks=True):
            place = os.stat(folder)
            if (place.st_dev, place.st_ino) in seen:  # a link to a folder above
                folders.clear()
                continue
            seen.add((place.st_dev, place.st_ino))
            folders[:] = [name for name in folders if name != "__pycache__"]
            files += [os.path.join(folder, name) for name in names]
    return sorted(set(files))


def _named(module: str) -> list[Path]:
    """The files beside a one-file module that its text names: "table.csv", "data/*.csv", f"{name}.csv", ".csv".

    Folders and patterns count where the module asks for its own place, in a folder that is no other packages' too.
    """
    try:
        text = Path(module).read_bytes()
        nodes = list(ast.walk(ast.parse(text)))
    except (OSError, SyntaxError, ValueError):
        return []
    folder, found = Path(module).parent, set()
    wide = b"__file__" in text and _first_party(module)
    for name in {name for node in nodes if (name := _file_name(node))}:
        path = folder / name  # an absolute name stands for itself
        if "*" not in name and path.is_file():
            found.add(path)
        elif wide and not os.path.isabs(name):
            matches = folder.glob(name) if "*" in name else path.rglob("*") if path.is_dir() else ()
            found |= set(itertools.islice(matches, MANY))
    return [path for path in found if path.suffix not in (".py", ".pyc") and path.is_file()]


def _file_name(node: ast.AST) -> str:
    """A file's name, or a pattern of names, from a string in a module's text; empty where it is none."""
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    else:
        return ""
    text = f"*{text}" if re.fullmatch(r"\.\w+", text) else text  # a suffix
    return text if _FILE_NAME.fullmatch(text) and "**" not in text and text.strip("*./ ") else ""


def _stamp(roots: Iterable[str]) -> Stamp:
    """Return what changes with the files. The time of an inode's change cannot be set back; that of its content can."""
    rows = []
    for path in _files(roots):
        with contextlib.suppress(OSError):  # a link to nothing, or a file that is gone again
            s = os.stat(path)
            if stat.S_ISREG(s.st_mode):
                rows.append((path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino))
    return tuple(rows)


@functools.lru_cache(64)
def _read(roots: tuple[str, ...], stamp: Stamp) -> tuple[str, tuple[str, ...]]:
    """(digest of all files, top-level packages that the Python files import); the stamp makes a change be seen."""
    h = hashlib.sha256()
    imports: set[str] = set()
    base = Path(roots[0])
    for path in map(Path, (name for name, *_ in stamp)):
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
        if isinstance(node, ast.Call) and node.args and _called(node) in _IMPORTERS:
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            names |= {name.partition(".")[0]} if isinstance(name, str) else set()
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _called(node: ast.Call) -> str:
    """The last name of what is called: import_module of importlib.import_module."""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))
