"""Compute the ID of a run from everything that its result depends on: settings, source code, versions, data."""

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
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.config.settings import NOT_IDENTITY
from harness.registry import catalogue
from harness.registry.kinds import KEY, KINDS, NONE
from harness.registry.registry import REGISTRY
from harness.registry.scanning.dependencies import installed
from harness.registry.scanning.scan_cache import fingerprint
from harness.results.answer_cache import cached
from harness.results.index import SETTLED_NS
from harness.results.study import find_weights
from harness.system.distribution import DISTRIBUTION

# Kinds that observe or launch a run do not change its result.
WATCHERS = ("metric", "diagnostic", "logger", "executor")
_IMPORTERS = ("import_module", "__import__", "find_spec", "run_module")  # their first argument names a module
_FILE_NAME = re.compile(r"[\w.*/ -]{2,100}")
MAX_MATCHES = 1000  # files that one name or pattern in a module's text may stand for
# The ID holds the device's type instead; the number of processes only changes rounding.
PLACES = ("accelerator", "devices", "num_nodes", "strategy")


def identity(
    values: dict[str, Any], device: str, data_digest: str, trainer_defaults: dict[str, Any], used: dict[str, str]
) -> str:
    """Return the ID of a run: 12 hex digits of the SHA-256 of everything that its result depends on.

    Args:
        values: The resolved config.
        device: Type of the device.
        data_digest: Digest of the data set.
        trainer_defaults: Defaults of Lightning's Trainer, which are left out.
        used: Sources of the components, from `sources`.
    """
    return _short(_content(values, device, data_digest, trainer_defaults, used))


def identity_by_seed(
    values: dict[str, Any], device: str, data_digest: str, trainer_defaults: dict[str, Any], used: dict[str, str]
) -> Callable[[int], str]:
    """Return a function that returns the ID of a run with a seed; the rest of its config is written once.

    See `identity` for the arguments.
    """
    text = _content(values | {"seed": _SEED}, device, data_digest, trainer_defaults, used)
    before, _, after = text.partition(json.dumps(_SEED))
    if _SEED in after:  # in another setting, which is unlikely
        return lambda seed: identity(values | {"seed": seed}, device, data_digest, trainer_defaults, used)
    return lambda seed: _short(f"{before}{json.dumps(seed)}{after}")


_SEED = "@seed@"  # stands for the seed in the text of a config


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _content(
    values: dict[str, Any], device: str, data_digest: str, trainer_defaults: dict[str, Any], used: dict[str, str]
) -> str:
    """Return everything that the result of a run depends on, as JSON."""
    config = {k: v for k, v in values.items() if k not in (*NOT_IDENTITY, *WATCHERS)}
    if values["tune"]["budget"] is None:
        del config["tune"]
    config["init_from"] = None if values["init_from"] is None else content_digest(find_weights(values["init_from"]))
    config["split"] = {k: v for k, v in values["split"].items() if k != "on_overlap"}
    config["trainer"] = {
        k: v for k, v in values["trainer"].items() if k not in PLACES and v is not None and v != trainer_defaults.get(k)
    }
    lists = {kind: list(config[kind]) for kind in KINDS if KINDS[kind].many and len(config.get(kind) or ()) > 1}
    content = {
        "config": config,
        "order": lists,  # in which components of a list are applied
        "sources": used,
        "versions": _versions(),
        "device": device,
        "data": data_digest,
    }
    return json.dumps(content, sort_keys=True, default=str)


def changes_result(key: str) -> bool:
    """Return True if the ID of a run depends on a key of the config.

    >>> [key for key in ("seed", "study", "metric.f1.average", "trainer.devices") if changes_result(key)]
    ['seed']
    """
    first, _, rest = key.partition(".")
    observed = first in NOT_IDENTITY or first in WATCHERS
    return not (observed or key == "split.on_overlap" or (first == "trainer" and rest in PLACES))


@functools.cache
def _versions() -> dict[str, str]:
    return {"harness": importlib.metadata.version(DISTRIBUTION), "torch": importlib.metadata.version("torch")}


def components(values: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield (kind, name) of every component of a config whose source the result depends on."""
    for kind in KINDS.values():
        if kind.name in WATCHERS:
            continue
        nodes = values[kind.name].values() if kind.many else [values[kind.name]]
        yield from ((kind.name, node[KEY]) for node in nodes if node[KEY] != NONE or REGISTRY.holds(kind.name, NONE))


def sources(used: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the state of the components' code, as {top-level package: digest or version}.

    Packages of components, and first-party packages that these import, have a digest of their files; other installed
    packages have their version.

    Args:
        used: The (kind, name) of the components.
    """
    states: dict[str, str] = {}
    packages = []
    files: set[str] = set()
    known = catalogue.current()
    for kind, name in used:
        packages.append(known.get(kind, name)["package"])
        files |= set(known.files_of(kind, name))
    for package in sorted(set(packages)):
        _add_package(package, states, by_content=True)
    for path in sorted(files):
        _add_file(path, states)
    for package in states.keys() & sys.modules.keys():
        _first.setdefault(package, states[package])
    return states


_first: dict[str, str] = {}  # of the process: digests of packages, soon after it imported them


def forget(package: str) -> None:
    """Forget the digest of a package that this process no longer holds."""
    _first.pop(package, None)


def changed(states: dict[str, str]) -> list[str]:
    """Return the packages that have changed since this process imported them, so that it would run the old code.

    Args:
        states: The current state of packages, from `sources`.
    """
    return [name for name, state in states.items() if name in sys.modules and _first.get(name, state) != state]


def _add_package(package: str, states: dict[str, str], by_content: bool = False) -> None:
    """Add the state of a package, and of those that it imports if it is first-party or `by_content`."""
    if package in states or package in sys.stdlib_module_names:
        return
    roots = _roots(package)
    if not roots:
        return
    # a namespace package may be first-party in part
    to_read = roots if by_content else [root for root in roots if _first_party(root)]
    if not to_read:
        states[package] = _version(package)
        return
    digest, imports = _read(tuple(to_read), stamp(to_read))
    states[package] = digest if len(to_read) == len(roots) else f"{digest}, {_version(package)}"
    for name in imports:
        _add_package(name, states)


def _add_file(path: str, states: dict[str, str]) -> None:
    """Add a file that a plugin opened while it was loaded: data, or a module that its text does not name.

    Content and name of the file count, and not its folder, since a checkout may be anywhere.
    """
    if any(Path(path).is_relative_to(root) for name in states for root in _roots(name)):
        return  # it belongs to a package that was added
    content = _read((path,), stamp([path]))[0]
    name = Path(path).name
    if name in states:
        content = hashlib.sha256(f"{states[name]}{content}".encode()).hexdigest()[:16]
    states[name] = content


def _version(package: str) -> str:
    """Return the versions of the distributions that an installed package comes from, read once in a process."""
    return _installed_versions().get(package, "")


@functools.cache
def _installed_versions() -> dict[str, str]:
    return cached("sources", fingerprint(()).installed, dict[str, str], _read_versions)


def _read_versions() -> dict[str, str]:
    """Return {top-level package: versions of its distributions} of all installed packages."""
    version = functools.cache(importlib.metadata.version)
    owners = importlib.metadata.packages_distributions().items()
    return {package: ", ".join(f"{n} {version(n)}" for n in sorted(set(names))) for package, names in owners}


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
    """Return True if a package is not in a folder of installed packages, so that it may change without a version."""
    path = Path(root).resolve()
    if root in ("built-in", "frozen") or any(path.is_relative_to(folder) for folder in installed()):
        return False
    return not _holds_distributions(path.parent)


@functools.cache
def _holds_distributions(folder: Path) -> bool:
    """Return True if packages were installed into a folder: of another environment, or by `pip install --target`."""
    return next(folder.glob("*.dist-info"), None) is not None


def content_digest(path: Path) -> str:
    """Return a digest of a file's content, cached until the file changes."""

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]

    state = stamp([str(path.absolute())])
    recent = max((max(times) for _, _, *times, _ in state), default=0) > time.time_ns() - SETTLED_NS
    return compute() if recent else cached("sources", ("content", state), str, compute)


Stamp = tuple[tuple[str, int, int, int, int], ...]


def _files(roots: Iterable[str]) -> list[str]:
    """Return the files below folders, following links as imports do. For a module, add the data files that it names.
    Entries that are no files may be among them.
    """
    files: list[str] = []
    for root in roots:
        if os.path.isfile(root):
            files += [root, *map(str, _named_files(root))]
            continue
        seen: set[tuple[int, int]] = set()  # device and inode of folders
        for folder, folders, names in os.walk(root, followlinks=True):
            place = os.stat(folder)
            if (place.st_dev, place.st_ino) in seen:  # a link to a parent folder
                folders.clear()
                continue
            seen.add((place.st_dev, place.st_ino))
            folders[:] = [name for name in folders if name != "__pycache__"]
            files += [os.path.join(folder, name) for name in names]
    return sorted(set(files))


def _named_files(module: str) -> list[Path]:
    """Return the files that the text of a one-file module names: "table.csv", "data/*.csv", f"{name}.csv", ".csv".

    Folders and patterns only count if the module uses `__file__` and is first-party.
    """
    try:
        text = Path(module).read_bytes()
        nodes = list(ast.walk(ast.parse(text)))
    except (OSError, SyntaxError, ValueError):
        return []
    folder, files = Path(module).parent, set()
    patterns_count = b"__file__" in text and _first_party(module)
    for name in {name for node in nodes if (name := _file_name(node))}:
        path = folder / name  # an absolute name replaces the folder
        if "*" not in name and path.is_file():
            files.add(path)
        elif patterns_count and not os.path.isabs(name):
            matches = folder.glob(name) if "*" in name else path.rglob("*") if path.is_dir() else ()
            files |= set(itertools.islice(matches, MAX_MATCHES))
    return [path for path in files if path.suffix not in (".py", ".pyc") and path.is_file()]


def _file_name(node: ast.AST) -> str:
    """Return the file name, or pattern of names, in a string of a module's text; empty if it is none."""
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    else:
        return ""
    text = f"*{text}" if re.fullmatch(r"\.\w+", text) else text  # a suffix
    return text if _FILE_NAME.fullmatch(text) and "**" not in text and text.strip("*./ ") else ""


def stamp(roots: Iterable[str]) -> Stamp:
    """Return path, size, times and inode of files. Unlike mtime, ctime cannot be set back."""
    rows = []
    for path in _files(roots):
        with contextlib.suppress(OSError):  # a link to nothing, or a file that is gone again
            s = os.stat(path)
            if stat.S_ISREG(s.st_mode):
                rows.append((path, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino))
    return tuple(rows)


@functools.lru_cache(64)
def _read(roots: tuple[str, ...], state: Stamp) -> list[Any]:
    """Return a digest of all files, and the top-level packages that the Python files import, as [digest, names].

    The state is part of the cache key, so that a change is noticed.
    """
    if max((max(times) for _, _, *times, _ in state), default=0) > time.time_ns() - SETTLED_NS:
        return _digest(roots, state)  # a file that changes again within a tick may keep its times
    return cached("sources", (roots, state), list[str | list[str]], lambda: _digest(roots, state))


def _digest(roots: tuple[str, ...], state: Stamp) -> list[Any]:
    h = hashlib.sha256()
    imports: set[str] = set()
    base = Path(roots[0])
    for path in map(Path, (name for name, *_ in state)):
        content = path.read_bytes()
        name = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.name
        h.update(f"{name}\0{len(content)}\0".encode() + content)
        if path.suffix == ".py":
            imports |= _imports(content)
    return [h.hexdigest()[:16], sorted(imports)]


def _imports(source: bytes) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _called_name(node) in _IMPORTERS:
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
            names |= {name.partition(".")[0]} if isinstance(name, str) else set()
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def _called_name(node: ast.Call) -> str:
    """Return the last name of the called function: import_module for importlib.import_module."""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))
