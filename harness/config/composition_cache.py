"""Compose many jobs quickly: Hydra composes each choice of options once, and values are set in a cached config."""

from __future__ import annotations

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
from harness.config.validation import NodeCache, check_config
from harness.registry import catalogue
from harness.registry.hydra_keys import check_node

TASK, NAME, CWD = "@task@", "@name@", "@cwd@"  # placeholders in the text of .hydra/hydra.yaml


class Compositions:
    """Compose jobs from overrides, reusing the config of an earlier job with the same options.

    Args:
        compose: Composes a config from overrides with Hydra.
        max_configs: Number of configs to cache; None for no limit.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig], max_configs: int | None = None) -> None:
        self._compose, self._max_configs = compose, max_configs
        self._configs: dict[tuple[str, ...], tuple[DictConfig, str]] = {}
        self._catalogue = catalogue.current()
        self._nodes: NodeCache = {}

    def job(self, overrides: Sequence[str]) -> Job:
        """Return a checked job. Errors are the same as without a cache."""
        parsed = parse(overrides)
        options = tuple(o.get_key_element() if _is_value(o) else str(o.input_line) for o in parsed)
        if options in self._configs and self._set_values(parsed, self._configs[options][0]):
            config, hydra = self._configs[options]
        else:  # also after a value was refused, so that Hydra reports the mistake as for a single run
            config = self._compose(list(overrides))
            check_node(config)
            hydra = _template(config)
            with open_dict(config):
                del config["hydra"]  # in place, since a masked copy would lose the types
            if len(self._configs) == self._max_configs:
                self._configs.clear()
            self._configs[options] = (config, hydra)
        put_texts(parsed, config)
        return Job(check_config(config, self._catalogue, self._nodes), list(overrides), hydra)

    def _set_values(self, parsed: Sequence[Override], config: DictConfig) -> bool:
        """Set plain values in a cached config; return False if one of them is refused."""
        try:
            put_overrides([o for o in parsed if _is_value(o)], config)
        except HydraException:
            return False
        return True


def _is_value(override: Override) -> bool:
    """Return True if an override sets a plain value, and neither chooses an option nor adds or deletes a key."""
    key = override.get_key_element()
    if override.is_delete() or override.is_add() or override.is_force_add() or override.package is not None:
        return False
    return key not in GROUPS and not key.startswith("hydra") and not isinstance(override.value(), dict)


def _template(full: DictConfig) -> str:
    """Return the text of .hydra/hydra.yaml, with placeholders for what differs between jobs of the same options."""
    hydra: Any = OmegaConf.to_container(OmegaConf.masked_copy(full, ["hydra"]), resolve=False, enum_to_str=True)
    hydra["hydra"]["overrides"]["task"] = TASK
    hydra["hydra"]["job"]["override_dirname"] = NAME
    hydra["hydra"]["runtime"]["cwd"] = CWD
    return yaml.dump(hydra, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
