"""Compose overrides into a job whose config has passed all checks."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from harness._compat.hydra import initialized
from harness.config.composition_cache import Compositions
from harness.config.job import Job, command_line
from harness.config.override_text import put_texts
from harness.config.overrides import parse, quote_choices
from harness.config.quoting import quoted
from harness.config.validation import check_config
from harness.registry import catalogue, hydra_keys
from harness.registry.preset_files import check_folder
from harness.registry.presets import builtin_presets, conf_dir, file_url
from harness.registry.scanning.scan_cache import stamps
from harness.system import session
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import HarnessError

CONFIG = "config"
MAX_CONFIGS = 64  # cached configs, 0.4 MB each


class Composed(dict[str | None, tuple[Any, Compositions]]):
    """Compositions by the user's own config folder, each with the stamp of what it was composed from."""


class SweepDeclared(HarnessError):
    """Raised if a preset declares a sweep while a single run was requested."""


@contextmanager
def hydra_session() -> Iterator[Any]:
    """Initialize Hydra on harness's config folder; yield Hydra's own object."""
    from hydra.core.global_hydra import GlobalHydra

    with initialized(str(conf_dir()), "harness"):
        yield GlobalHydra.instance().hydra


def with_config_dir(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """Return overrides that also search a user's folder.

    Args:
        overrides: Overrides as typed.
        config_dir: Folder given by --config-dir, or None.

    Raises:
        HarnessError: If there is no such folder, if a file in it is refused, or if the name of a file is taken.
    """
    words = quote_choices(overrides)
    if config_dir is None:
        return words
    folder = Path(config_dir).expanduser().resolve()
    if not folder.is_dir():
        raise HarnessError(f"--config-dir: no folder {config_dir}")
    known = catalogue.current()
    taken = known.presets | dict.fromkeys(builtin_presets(), DISTRIBUTION)
    taken |= {f"{entry['kind']}/{entry['name']}": entry["origin"] for entry in known}
    for name in check_folder(folder):
        if name in taken:
            raise HarnessError(f"{folder / name}.yaml: the name {name} is taken by {taken[name]}; rename the file")
    return [*words, f"hydra.searchpath=[file://{folder}]"]


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Job:
    """Compose overrides into a checked job. Configs are cached by their choices of components.

    Args:
        overrides: Overrides as typed.
        config_dir: Folder given by --config-dir, or None.

    Raises:
        HarnessError: If an override is refused.
        hydra.errors.HydraException: If Hydra cannot compose the config.
    """
    command = command_line(overrides, config_dir)
    overrides = quoted(overrides)
    hydra_keys.check_words(parse(overrides), sweep=False)
    with_config_dir([], config_dir)  # report a bad folder first
    folder = None if config_dir is None else str(Path(config_dir).expanduser().resolve())
    stamp = catalogue.current(), _files(folder)
    cached = session.state(Composed)
    if folder not in cached or cached[folder][0] != stamp:
        cached[folder] = stamp, Compositions(functools.partial(_compose_with_hydra, config_dir=folder), MAX_CONFIGS)
    job = cached[folder][1].job(list(overrides))
    if job.settings.tune.budget is not None:
        raise HarnessError("tune.budget tunes the contestants of a sweep: write harness -m")
    return replace(job, values=copy.deepcopy(job.values), command=command)  # the caller may change the values


def compose_unchecked(hydra: Any, overrides: list[str], mode: RunMode = RunMode.RUN) -> DictConfig:
    """Compose a whole config with Hydra's own object, without checking it."""
    config: DictConfig = hydra.compose_config(CONFIG, overrides, run_mode=mode, with_log_configuration=False)
    return config


def _files(folder: str | None) -> list[str]:
    """Return path, size and time of every file that Hydra may read."""
    plugin_folders = [file_url(url).removeprefix("file://") for _, url in catalogue.current().config_dirs]
    folders = [str(conf_dir()), *plugin_folders, *([folder] if folder else [])]
    return [stamp for root in folders for stamp in stamps(Path(root))]


def _compose_with_hydra(overrides: list[str], config_dir: str | None) -> DictConfig:
    from hydra import compose as hydra_compose

    with hydra_session():
        full = hydra_compose(CONFIG, with_config_dir(overrides, config_dir), return_hydra_config=True)
    if full.hydra.mode == RunMode.MULTIRUN:
        raise SweepDeclared("hydra.mode=MULTIRUN declares a sweep: run it with harness -m or harness.sweep")
    if declared := [key for key in ("params", "variants") if full.hydra.sweeper.get(key)]:
        warnings.warn(
            f"hydra.sweeper.{declared[0]} declares a sweep, and this is one run: add -m to sweep", stacklevel=2
        )
    return full


def job_from_hydra(full: DictConfig, overrides: list[str]) -> Job:
    """Return a checked job from a config that Hydra composed."""
    hydra_keys.check_node(full)
    config = OmegaConf.masked_copy(full, [str(k) for k in full if k != "hydra"])
    put_texts(parse(overrides), config)
    hydra = OmegaConf.to_yaml(OmegaConf.masked_copy(full, ["hydra"]))
    return Job(check_config(config, catalogue.current()), overrides, hydra)
