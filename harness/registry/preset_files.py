"""Refuse preset files that reach beyond a run's config. A config folder is data, and may come from a stranger."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from harness.registry.hydra_keys import IN_FILES, within
from harness.system import safe_files
from harness.system.errors import HarnessError

MAX_BYTES = safe_files.MB  # size of a file
MAX_VALUES = 100_000  # values in a file after its aliases are expanded
MAX_FILES = 10_000  # files in a folder
MAX_DEPTH = 64
# Settings of a sweeper or a launcher that are numbers or names, and start nothing. Other settings are commands
# (launcher), or name Python objects or a folder to write to (sweeper).
_SWEEPER = ("n_trials", "n_jobs", "max_batch_size", "direction", "seed")
_LAUNCHER = (
    "n_jobs", "timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "nodes", "tasks_per_node",
    "array_parallelism", "partition", "qos", "account", "name",
)  # fmt: skip
PLAIN = frozenset(
    ["hydra.mode", *(f"hydra.sweeper.{key}" for key in _SWEEPER), *(f"hydra.launcher.{key}" for key in _LAUNCHER)]
)
PARAMS = "hydra.sweeper.params"  # the overrides to sweep over
LISTS = ("hydra.sweeper.zip", "hydra.sweeper.variants")  # keys that vary together, and lists of overrides
CHOICES = ("hydra/sweeper", "hydra/launcher")  # groups of which a file may choose an installed option
RESOLVERS = frozenset(("oc.select", "oc.dict.keys", "oc.dict.values"))  # they only read the config
_HEADER = re.compile(r"^\s*#.*@package\s+(\S+)", re.MULTILINE)
_REFERENCE = re.compile(r"\$\{\s*(?:(?P<resolver>[\w.]+)\s*:|(?P<plain>[\w.@\[\]-]+)\s*\})?")


def check_folder(folder: Path) -> list[str]:
    """Check every preset file below a folder, and return their names (`group/name`).

    Raises:
        HarnessError: If a file sets a key that only the command line may set, is not a regular file, or is too large.
    """
    names = []
    for path in _files(folder):
        if path.is_symlink() and not path.exists():
            continue  # an editor's lock of an open file
        name = path.relative_to(folder).as_posix().removesuffix(".yaml")
        if name.startswith("hydra/") or name == "hydra":
            raise HarnessError(f"{path}: a config folder must not hold options of Hydra; choose an installed one")
        check_file(path)
        names.append(name)
    return sorted(names)


def check_file(path: Path, stranger: bool = True) -> None:
    """Check one preset file.

    Args:
        path: The file.
        stranger: False for the file of a plugin, which may call resolvers: the plugin is code that could do so anyway.

    Raises:
        HarnessError: If the file cannot be read, or sets a key that only the command line may set.
    """
    try:
        status = path.stat()
        _check(path, (status.st_size, status.st_mtime_ns, status.st_ino), stranger)
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror or error}") from error


@functools.lru_cache(4096)  # a file is checked again after it has changed
def _check(path: Path, stamp: tuple[int, ...], stranger: bool) -> None:
    text = safe_files.read(path, MAX_BYTES).decode(errors="replace")
    for package in _HEADER.findall(text):
        if "hydra" in package or ("_name_" in package and path.stem == "hydra"):
            raise _refused(path, f"package {package}")
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        if isinstance(tree, yaml.MappingNode):
            for key, value in _entries(tree):
                if key == "defaults":
                    _check_defaults(path, value)
                elif key == "hydra" or key.startswith("hydra."):
                    _check_hydra(path, key, value)
        for count, scalar in enumerate(_scalars(tree, 0)):
            if count > MAX_VALUES:
                raise HarnessError(f"{path} holds more than {MAX_VALUES:,} values")
            if stranger:
                _check_references(path, scalar)
    except (yaml.YAMLError, RecursionError):
        return  # Hydra cannot read it either, and reports it when the file is chosen


def _check_hydra(path: Path, key: str, node: yaml.Node) -> None:
    """Refuse a key of the hydra node unless it is listed above and its value is plain."""
    if key == PARAMS and isinstance(node, yaml.MappingNode):
        for name, value in _entries(node):
            values = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if re.match(r"[+~]*hydra\b", name) or not all(isinstance(v, yaml.ScalarNode) for v in values):
                raise _refused(path, f"{PARAMS}: {name}")
        return
    if key in LISTS and isinstance(node, yaml.SequenceNode):
        if any(re.match(r"\s*[+~]*hydra\b", text) for text in _scalars(node, 0)):
            raise _refused(path, key)
        return
    if isinstance(node, yaml.MappingNode) and (key == "hydra" or within(key, IN_FILES)):
        for name, value in _entries(node):
            _check_hydra(path, f"{key}.{name}", value)
        return
    # only one line of plain text, since a launcher may write it into a script
    if key not in PLAIN or not isinstance(node, yaml.ScalarNode) or not re.fullmatch(r"[\w.:+-]*", node.value):
        raise _refused(path, key)


def _check_defaults(path: Path, node: yaml.Node) -> None:
    """Refuse a defaults list that chooses an option of a Hydra group other than the sweeper and the launcher."""
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        for key, value in _entries(item) if isinstance(item, yaml.MappingNode) else [(str(item.value), item)]:
            words = key.split()
            group, _, package = (words[-1] if words else "").partition("@")
            chosen = isinstance(value, yaml.ScalarNode) and re.fullmatch(r"\w+", value.value)
            allowed = group.lstrip("/") in CHOICES and not package and chosen
            if ("hydra" in group.strip("/").split("/")[:1] and not allowed) or "hydra" in package:
                raise _refused(path, key)


def _check_references(path: Path, text: str) -> None:
    """Refuse a reference to the environment, since its secrets would end up in the run's record."""
    for match in _REFERENCE.finditer(text):
        resolver = match["resolver"]
        if resolver not in RESOLVERS and match["plain"] is None:
            what = f"${{{resolver}:...}}" if resolver else "a computed ${...}"
            raise HarnessError(f"{path}: {what} in a file reads more than the config; type it on the command line")


def _refused(path: Path, what: str) -> HarnessError:
    return HarnessError(f"{path} sets {what}: only the command line may change how Hydra works")


def _entries(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    """Yield keys and values, with those of merged mappings (<<)."""
    waiting, seen = [node], set()
    while waiting:
        mapping = waiting.pop()
        if id(mapping) in seen:
            continue
        seen.add(id(mapping))
        for key, value in mapping.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "<<":
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                waiting += [item for item in merged if isinstance(item, yaml.MappingNode)]
            elif isinstance(key, yaml.ScalarNode):
                yield str(key.value), value


def _scalars(node: yaml.Node | None, depth: int) -> Iterator[str]:
    """Yield every text of a file, as often as aliases repeat it."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(node, yaml.ScalarNode):
        yield str(node.value)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(key, depth + 1)
            yield from _scalars(value, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _scalars(value, depth + 1)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the YAML files below a folder.

    Raises:
        HarnessError: If a folder is a link, which may lead anywhere, or if there are too many files.
    """
    waiting, count = [folder], 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_dir():
                if path.is_symlink():
                    raise HarnessError(f"{path} is a link to a folder; a config folder must not hold such links")
                waiting.append(path)
            elif path.suffix == ".yaml":
                count += 1
                if count > MAX_FILES:
                    raise HarnessError(f"{folder} holds more than {MAX_FILES:,} preset files")
                yield path
