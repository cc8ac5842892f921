"""Refuse files of presets that reach beyond a run's config: a config folder is data, and may be a stranger's."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from harness.registry.hydra_keys import IN_FILES, within
from harness.system import safe_files
from harness.system.errors import HarnessError

LARGEST = safe_files.MB  # of a file
NODES = 100_000  # of a file, with what its aliases stand for
FILES = 10_000  # of a folder
DEPTH = 64
# Settings of a sweeper or a launcher that are numbers or names, and start nothing: a launcher has others that are
# commands, and a sweeper others that name Python or a place to write to.
_SWEEPER = ("n_trials", "n_jobs", "max_batch_size", "direction", "seed")
_LAUNCHER = (
    "n_jobs", "timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb", "nodes", "tasks_per_node",
    "array_parallelism", "partition", "qos", "account", "name",
)  # fmt: skip
PLAIN = frozenset(
    ["hydra.mode", *(f"hydra.sweeper.{key}" for key in _SWEEPER), *(f"hydra.launcher.{key}" for key in _LAUNCHER)]
)
PARAMS = "hydra.sweeper.params"  # what is swept over: overrides of the run's config
CHOICES = ("hydra/sweeper", "hydra/launcher")  # among what is installed
RESOLVERS = frozenset(("oc.select", "oc.dict.keys", "oc.dict.values"))  # they read the config alone
_HEADER = re.compile(r"^\s*#.*@package\s+(\S+)", re.MULTILINE)
_REFERENCE = re.compile(r"\$\{\s*(?:(?P<resolver>[\w.]+)\s*:|(?P<plain>[\w.@\[\]-]+)\s*\})?")


def check_folder(folder: Path) -> list[str]:
    """Check every file of presets below a folder; return their names (`group/name`).

    Raises:
        HarnessError: For the first file that sets what only the command line may, is no plain file, or is too large.
    """
    names = []
    for path in _files(folder):
        if path.is_symlink() and not path.exists():
            continue  # an editor's lock beside an open file
        name = path.relative_to(folder).as_posix().removesuffix(".yaml")
        if name.startswith("hydra/") or name == "hydra":
            raise HarnessError(f"{path}: a config folder holds no options of Hydra's own; choose among those installed")
        check_file(path)
        names.append(name)
    return sorted(names)


def check_file(path: Path, stranger: bool = True) -> None:
    """Check one file. A plugin's presets may call resolvers: the plugin is code, and may do so anyway.

    Raises:
        HarnessError: With the file, and what it may not set.
    """
    try:
        status = path.stat()
        _check(path, (status.st_size, status.st_mtime_ns, status.st_ino), stranger)
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror or error}") from error


@functools.lru_cache(4096)  # a file is checked again when it has changed
def _check(path: Path, stamp: tuple[int, ...], stranger: bool) -> None:
    text = safe_files.read(path, LARGEST).decode(errors="replace")
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
            if count > NODES:
                raise HarnessError(f"{path} holds more than {NODES:,} values")
            if stranger:
                _check_references(path, scalar)
    except (yaml.YAMLError, RecursionError):
        return  # Hydra cannot read it either, and says so when it is chosen


def _check_hydra(path: Path, key: str, node: yaml.Node) -> None:
    """The hydra node of a file: plain values of a named list."""
    if key == PARAMS and isinstance(node, yaml.MappingNode):
        for name, value in _entries(node):
            values = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if re.match(r"[+~]*hydra\b", name) or not all(isinstance(one, yaml.ScalarNode) for one in values):
                raise _refused(path, f"{PARAMS}: {name}")
        return
    if isinstance(node, yaml.MappingNode) and (key == "hydra" or within(key, IN_FILES)):
        for name, value in _entries(node):
            _check_hydra(path, f"{key}.{name}", value)
        return
    # one line of plain text: a launcher may write it into a script
    if key not in PLAIN or not isinstance(node, yaml.ScalarNode) or not re.fullmatch(r"[\w.:+-]*", node.value):
        raise _refused(path, key)


def _check_defaults(path: Path, node: yaml.Node) -> None:
    """A file's defaults list: it chooses options, and none of Hydra's groups but the sweeper and the launcher."""
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        for key, value in _entries(item) if isinstance(item, yaml.MappingNode) else [(str(item.value), item)]:
            words = key.split()
            group, _, package = (words[-1] if words else "").partition("@")
            chosen = isinstance(value, yaml.ScalarNode) and re.fullmatch(r"\w+", value.value)
            ours = group.lstrip("/") in CHOICES and not package and chosen
            if ("hydra" in group.strip("/").split("/")[:1] and not ours) or "hydra" in package:
                raise _refused(path, key)


def _check_references(path: Path, text: str) -> None:
    """A reference reads the config, and not the environment, whose secrets would stand in the run's record."""
    for found in _REFERENCE.finditer(text):
        resolver = found["resolver"]
        if resolver not in RESOLVERS and found["plain"] is None:
            what = f"${{{resolver}:...}}" if resolver else "a computed ${...}"
            raise HarnessError(f"{path}: {what} in a file reads more than the config; type it on the command line")


def _refused(path: Path, what: str) -> HarnessError:
    return HarnessError(f"{path} sets {what}: only the command line may change how Hydra works")


def _entries(node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
    """Keys and values, with those of merged mappings (<<)."""
    waiting, seen = [node], set()
    while waiting:
        mapping = waiting.pop()
        if id(mapping) in seen:
            continue
        seen.add(id(mapping))
        for key, value in mapping.value:
            if isinstance(key, yaml.ScalarNode) and key.value == "<<":
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                waiting += [one for one in merged if isinstance(one, yaml.MappingNode)]
            elif isinstance(key, yaml.ScalarNode):
                yield str(key.value), value


def _scalars(node: yaml.Node | None, depth: int) -> Iterator[str]:
    """Every text of a file, as often as aliases repeat it."""
    if depth > DEPTH:
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
    """The YAML files below a folder. Raises HarnessError for a folder that is a link: it may lead anywhere."""
    waiting, count = [folder], 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_dir():
                if path.is_symlink():
                    raise HarnessError(f"{path} is a link to a folder, which is not followed in a config folder")
                waiting.append(path)
            elif path.suffix == ".yaml":
                count += 1
                if count > FILES:
                    raise HarnessError(f"{folder} holds more than {FILES:,} files of presets")
                yield path
