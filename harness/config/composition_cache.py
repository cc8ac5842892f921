"""Compose many jobs quickly: Hydra composes each choice of options once, and values are set in a cached config."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Sequence
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from harness._compat.hydra import put_overrides
from harness.config.job import Job
from harness.config.override_text import put_texts
from harness.config.overrides import GROUPS, parse
from harness.config.validation import NodeCache, check_values, plain
from harness.registry import catalogue
from harness.registry.catalogue import Catalogue
from harness.registry.hydra_keys import check_node

TASK, NAME, CWD = "@task@", "@name@", "@cwd@"  # placeholders in the text of .hydra/hydra.yaml


class _Composed:
    """A config that Hydra composed, in which the values of one job after another are set."""

    def __init__(self, config: DictConfig, hydra: str) -> None:
        self.config, self.hydra = config, hydra
        self._put: dict[str, str | None] = {}  # texts of the overrides of the last job, by key
        self._raw: dict[str, Any] = {}  # the config of the last job as plain data
        self._checked: dict[str, Any] = {}
        written: Any = OmegaConf.to_container(config, resolve=False)
        # keys that hold references to others, such as split.seed=${seed}
        self._referring = {str(key) for key, value in written.items() if "${" in str(value)}

    def values(self, overrides: Sequence[Override], known: Catalogue, nodes: NodeCache, new: bool) -> dict[str, Any]:
        """Set the values of a job and return its checked config. Only what differs from the last job is checked.

        Args:
            overrides: The overrides of the job.
            known: The installed components.
            nodes: Checked nodes.
            new: True if the config was composed from these overrides, so that they are set.

        Raises:
            HydraException: If a value is refused.
            HarnessError: If the config is.
        """
        changed = [o for o in overrides if self._put.get(o.get_key_element(), "") != o.input_line]
        if not new:
            put_overrides([o for o in changed if _is_value(o)], self.config)
        put_texts(changed, self.config)
        keys = {o.key_or_group.partition(".")[0] for o in changed}
        self._referring |= {o.key_or_group.partition(".")[0] for o in changed if "${" in (o.input_line or "")}
        keys = {str(key) for key in self.config} if not self._put else keys | self._referring
        self._raw = self._raw | plain(self.config, keys)
        same = {key: value for key, value in self._checked.items() if key not in keys}
        self._checked = check_values(self._raw, known, nodes, same)
        self._put = {o.get_key_element(): o.input_line for o in overrides}
        return self._checked


class Compositions:
    """Compose jobs from overrides, reusing the config of an earlier job with the same options.

    Args:
        compose: Composes a config from overrides with Hydra.
        max_configs: Number of configs to cache; None for no limit.
        sweep: The config of the sweep to which the jobs belong. A job that only sets values in it is not composed.
    """

    def __init__(
        self,
        compose: Callable[[list[str]], DictConfig],
        max_configs: int | None = None,
        sweep: DictConfig | None = None,
    ) -> None:
        self._compose, self._max_configs, self._sweep = compose, max_configs, sweep
        self._configs: dict[tuple[str, ...], _Composed] = {}
        self._catalogue = catalogue.current()
        self._nodes: NodeCache = {}

    def job(self, overrides: Sequence[str]) -> Job:
        """Return a checked job. Errors are the same as without a cache."""
        parsed = parse(overrides)
        options = tuple(o.get_key_element() if _is_value(o) else str(o.input_line) for o in parsed)
        composed, values = self._configs.pop(options, None), None  # put back below, unless the job is refused
        if composed is None and self._sweep is not None and _only_sets_values(parsed, self._sweep):
            composed = _composed(copy.deepcopy(self._sweep), in_sweep=True)
        if composed is not None:
            with contextlib.suppress(HydraException):  # composed anew, Hydra reports the mistake as for a single run
                values = composed.values(parsed, self._catalogue, self._nodes, new=False)
        if composed is None or values is None:
            composed = _composed(self._compose(list(overrides)))
            values = composed.values(parsed, self._catalogue, self._nodes, new=True)
        if len(self._configs) == self._max_configs:
            self._configs.clear()
        self._configs[options] = composed
        return Job(values, list(overrides), composed.hydra)


def _is_value(override: Override) -> bool:
    """Return True if an override sets a plain value, and neither chooses an option nor adds or deletes a key."""
    key = override.get_key_element()
    if override.is_delete() or override.is_add() or override.is_force_add() or override.package is not None:
        return False
    return key not in GROUPS and not key.startswith("hydra") and not isinstance(override.value(), dict)


def _only_sets_values(job: Sequence[Override], sweep: DictConfig) -> bool:
    """Return True if the config of a job is that of its sweep with other values."""
    words: Any = OmegaConf.to_container(sweep.hydra.overrides.task, resolve=False)
    of_all = [o for o in parse(words, sweep=True) if not o.is_sweep_override()]
    same_choices = _choices(of_all) == _choices(job)
    return same_choices and {o.get_key_element() for o in of_all} <= {o.get_key_element() for o in job}


def _choices(overrides: Sequence[Override]) -> set[str]:
    """Return the overrides that do not only set a value."""
    return {str(o.input_line) for o in overrides if not _is_value(o)}


def _composed(full: DictConfig, in_sweep: bool = False) -> _Composed:
    """Return a config that Hydra composed without its own node, and that node's text."""
    if in_sweep:
        full.hydra.mode = None  # as in the config of a job
    check_node(full)
    hydra = _template(full)
    with open_dict(full):
        del full["hydra"]  # in place, since a masked copy would lose the types
    return _Composed(full, hydra)


def _template(full: DictConfig) -> str:
    """Return the text of .hydra/hydra.yaml, with placeholders for what differs between jobs of the same options."""
    hydra: Any = OmegaConf.to_container(OmegaConf.masked_copy(full, ["hydra"]), resolve=False, enum_to_str=True)
    hydra["hydra"]["overrides"]["task"] = TASK
    hydra["hydra"]["job"]["override_dirname"] = NAME
    hydra["hydra"]["runtime"]["cwd"] = CWD
    return yaml.dump(hydra, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
