"""The harness as a Hydra application: from overrides to a job whose config has passed its checks."""

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

from harness.config.composition_cache import Compositions
from harness.config.job import Job
from harness.config.override_text import put_texts
from harness.config.overrides import parse, quote_choices
from harness.config.quoting import quoted
from harness.config.validation import check
from harness.registry import catalogue, hydra_keys
from harness.registry.preset_files import check_folder
from harness.registry.presets import conf_dir, located, own_presets
from harness.registry.scanning.scan_cache import stamps
from harness.system import session
from harness.system.errors import HarnessError

CONFIG = "config"
VERSION_BASE = "1.3"
KEPT = 64  # composed configs, of 0.4 MB each


class Composed(dict[str | None, tuple[Any, Compositions]]):
    """Compositions by the user's own config folder, each with the stamp of what it was composed from."""


class SweepDeclared(HarnessError):
    """A preset asks for a sweep, and one run was asked for."""


@contextmanager
def hydra_session() -> Iterator[Any]:
    """Hydra set up on harness's config folder; yields Hydra's own object, for what only it can do."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with initialize_config_dir(str(conf_dir()), job_name="harness", version_base=VERSION_BASE):
        yield GlobalHydra.instance().hydra


def with_config_dir(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """The overrides that also search a user's folder. Refuses a folder whose names are taken."""
    words = quote_choices(overrides)
    if config_dir is None:
        return words
    folder = Path(config_dir).expanduser().resolve()
    if not folder.is_dir():
        raise HarnessError(f"--config-dir: no folder {config_dir}")
    known = catalogue.current()
    taken = known.presets | dict.fromkeys(own_presets(), "harness")
    taken |= {f"{entry['kind']}/{entry['name']}": entry["origin"] for entry in known}
    for name in check_folder(folder):
        if name in taken:
            raise HarnessError(f"{folder / name}.yaml: the name {name} is taken by {taken[name]}; rename the file")
    return [*words, f"hydra.searchpath=[file://{folder}]"]


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Job:
    """Overrides to a checked job. Raises HarnessError, or Hydra's own errors, for anything wrong in them.

    Who trains one run after another pays for each choice of options once.
    """
    overrides = quoted(overrides)
    hydra_keys.check_words(parse(overrides), sweep=False)
    with_config_dir([], config_dir)  # what is wrong with it is told first
    folder = None if config_dir is None else str(Path(config_dir).expanduser().resolve())
    stamp = catalogue.current(), _files(folder)
    cached = session.state(Composed)
    if folder not in cached or cached[folder][0] != stamp:
        cached[folder] = stamp, Compositions(functools.partial(_full, config_dir=folder), KEPT)
    job = cached[folder][1].job(list(overrides))
    return replace(job, values=copy.deepcopy(job.values))  # what becomes of a record changes no later run


def composed(hydra: Any, words: list[str], mode: RunMode = RunMode.RUN) -> DictConfig:
    """A whole config, by Hydra's own object; nothing in it is checked."""
    config: DictConfig = hydra.compose_config(CONFIG, words, run_mode=mode, with_log_configuration=False)
    return config


def _files(folder: str | None) -> list[str]:
    """Of every file that Hydra may read, what changes with it."""
    own = [str(conf_dir()), *(located(theirs).removeprefix("file://") for _, theirs in catalogue.current().config_dirs)]
    return [stamp for root in [*own, *([folder] if folder else [])] for stamp in stamps(Path(root))]


def _full(overrides: list[str], config_dir: str | None) -> DictConfig:
    from hydra import compose as hydra_compose

    with hydra_session():
        full = hydra_compose(CONFIG, with_config_dir(overrides, config_dir), return_hydra_config=True)
    if full.hydra.mode == RunMode.MULTIRUN:
        raise SweepDeclared("hydra.mode=MULTIRUN declares a sweep: run it with harness -m or harness.sweep")
    if full.hydra.sweeper.get("params"):
        warnings.warn("hydra.sweeper.params declares a sweep, and this is one run: add -m to sweep", stacklevel=2)
    return full


def job_from_hydra(full: DictConfig, overrides: list[str]) -> Job:
    """A job from a config that Hydra composed."""
    hydra_keys.check_node(full)
    config = OmegaConf.masked_copy(full, [str(k) for k in full if k != "hydra"])
    put_texts(parse(overrides), config)
    hydra = OmegaConf.to_yaml(OmegaConf.masked_copy(full, ["hydra"]))
    return Job(check(config, catalogue.current()), overrides, hydra)
