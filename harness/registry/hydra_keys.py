"""Refuse Hydra's keys (`hydra.*`, `hydra/*`) that have no effect in harness, and name the replacement.

On the command line such a key is found by its name; in files, by its value in the composed `hydra` node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from harness.system.errors import HarnessError, shown, suggest

_OURS = "hydra_plugins.harness_hydra.sweep.HarnessLauncher"

MODE = "hydra.mode"
SWEEP = ("hydra.sweeper", "hydra.launcher")  # have an effect only with -m; also as groups, hydra/sweeper=...
LAUNCHED = (  # read by launchers of other packages
    "hydra.job.name",
    "hydra.job.env_set",
    "hydra.job.env_copy",
    "hydra.job_logging",
    "hydra.hydra_logging",
    "hydra.verbose",
)
# Keys that a preset, an experiment or a file of --config-dir may set: plain values and choices of installed options,
# never `_target_`. The rest of the hydra node can only be set on the command line.
IN_FILES = (MODE, "hydra.sweeper", "hydra.launcher")
SEARCHPATH = "hydra.searchpath"
INSTEAD = {  # the first entry that is a prefix of the key applies
    "hydra.run": "runs are written to outputs/STUDY/: write study=NAME",
    "hydra.sweep": "runs are written to outputs/STUDY/: write study=NAME",
    "hydra.output": "runs are written to outputs/STUDY/: write study=NAME",
    "hydra.output_subdir": "a run's composed config is always kept in its folder, in .hydra/",
    "hydra.job.chdir": "a run never changes the working folder; its own folder is outputs/STUDY/RUN",
    "hydra.job.config": "a run's folder is named after its overrides and its ID",
    "hydra.job.env_set": "set the variable in the shell: NAME=VALUE harness ...",
    "hydra.job.env_copy": "a run inherits the environment of the command",
    "hydra.job_logging": "a run logs to log.txt in its folder",
    "hydra.hydra_logging": "a run logs to log.txt in its folder",
    "hydra.verbose": "a run logs to log.txt in its folder",
    "hydra.job": "it is set by Hydra",
    "hydra.callbacks": "a plugin's logger or diagnostic watches a run (harness new NAME --kind logger)",
    "hydra.env": "set the variable in the shell: NAME=VALUE harness ...",
    SEARCHPATH: "a folder of your own is searched with --config-dir FOLDER, its names checked",
    "hydra.help": "harness --help prints a text of its own",
    "hydra.hydra_help": "harness --hydra-help prints Hydra's text",
    "hydra.runtime": "it is set by Hydra",
    "hydra.overrides": "it is set by Hydra",
}


def within(key: str, names: Iterable[str]) -> str | None:
    """Return the first of `names` that is the key or a parent of it, or None.

    >>> within("hydra.sweeper.params", ["hydra.sweep", "hydra.sweeper"])
    'hydra.sweeper'
    """
    return next((name for name in names if key == name or key.startswith(f"{name}.")), None)


def check_words(overrides: Iterable[Override], sweep: bool) -> None:
    """Refuse overrides of Hydra keys that have no effect. Keys of a sweeper or launcher only have one in a sweep.

    Raises:
        HarnessError: If a key has no effect; the message says what to write instead.
    """
    for override in overrides:
        key = override.key_or_group.replace("/", ".")
        if key.partition(".")[0] != "hydra":
            continue
        for leaf, _ in _leaves(key, None if override.is_sweep_override() else override.value()):
            if leaf == MODE or (sweep and within(leaf, (*SWEEP, *LAUNCHED))):
                continue
            if within(leaf, SWEEP):
                raise HarnessError(f"{override.input_line} only has an effect in a sweep: write harness -m")
            raise HarnessError(f"{override.input_line} has no effect in harness: {_instead(leaf)}")


def check_node(full: DictConfig) -> None:
    """Refuse a composed config in which a file sets a Hydra key that has no effect.

    Args:
        full: A composed config with its `hydra` node.

    Raises:
        HarnessError: If there is such a key; the message says what to write instead.
    """
    node = OmegaConf.to_container(full.hydra, resolve=False, enum_to_str=True)
    assert isinstance(node, dict)
    launched = _at(node, "launcher._target_") != _OURS
    for key, value in _fixed().items():
        name = f"hydra.{key}"
        if (launched and within(name, LAUNCHED)) or _at(node, key) == value:
            continue
        set_to = _at(node, key)
        example = f"={shown(set_to)}" if not isinstance(set_to, (dict, list)) else ""
        raise HarnessError(f"a file sets {name}{example}, which has no effect in harness: {_instead(name)}")


@cache
def _fixed() -> dict[str, Any]:
    """Return the keys of the hydra node that a file must not change, with their values in harness's own config."""
    from hydra.conf import HydraConf

    silent = _file("hydra_logging/none.yaml")
    return {
        "run.dir": ".",
        "sweep.dir": "${output_root}/${study}",
        "sweep.subdir": ".",
        "output_subdir": None,
        "job.name": "harness",
        "job.chdir": HydraConf().job.chdir,  # null in 1.3, false in 1.4
        "job.env_set": {},
        "job.env_copy": [],
        "job.config": {"override_dirname": {"kv_sep": "=", "item_sep": ",", "exclude_keys": []}},
        "job_logging": silent,
        "hydra_logging": silent,
        "verbose": False,
        "callbacks": {},
        "help": _file("help/default.yaml"),
        "hydra_help": _file("hydra_help/default.yaml") | {"hydra_help": "???"},
    }


def _file(name: str) -> Any:
    return yaml.safe_load(files("hydra.conf").joinpath("hydra", name).read_text())


def _at(node: Any, key: str) -> Any:
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key that an override sets, with its value: a dictionary sets several."""
    if isinstance(value, dict) and value:
        for inner, more in value.items():
            yield from _leaves(f"{key}.{inner}", more)
    else:
        yield key, value


def _instead(key: str) -> str:
    """Return what to write instead of a key that has no effect."""
    prefix = within(key, INSTEAD)
    if prefix is not None:
        return INSTEAD[prefix]
    known: Sequence[str] = [*SWEEP, *LAUNCHED]
    return f"it only reads hydra/sweeper=, hydra/launcher= and their settings.{suggest(key, known)}"
