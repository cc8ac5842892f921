"""Many jobs composed: Hydra does it once for each choice of options, and values alone are put into a kept config."""

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
from harness.config.validation import Seen, check
from harness.registry import catalogue
from harness.registry.hydra_keys import check_node

TASK, NAME, CWD = "@task@", "@name@", "@cwd@"  # in the text of .hydra/hydra.yaml, what differs between jobs


class Compositions:
    """Jobs from overrides, by Hydra's `compose`; the next one with the same options costs a fraction of it.

    At most so many configs are `kept`, all where it is None.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig], kept: int | None = None) -> None:
        self._compose, self._most = compose, kept
        self._kept: dict[tuple[str, ...], tuple[DictConfig, str]] = {}
        self._catalogue = catalogue.current()
        self._seen: Seen = {}

    def job(self, overrides: Sequence[str]) -> Job:
        """A checked job. Raises what composing or checking it by itself would raise."""
        parsed = parse(overrides)
        options = tuple(o.get_key_element() if _is_value(o) else str(o.input_line) for o in parsed)
        if options in self._kept and self._put(parsed, self._kept[options][0]):
            config, hydra = self._kept[options]
        else:  # also where a value was refused: composing says what is wrong as it would of one run
            config = self._compose(list(overrides))
            check_node(config)
            hydra = _template(config)
            with open_dict(config):
                del config["hydra"]  # a copy without it would not know its types
            if len(self._kept) == self._most:
                self._kept.clear()
            self._kept[options] = (config, hydra)
        put_texts(parsed, config)
        return Job(check(config, self._catalogue, self._seen), list(overrides), hydra)

    def _put(self, parsed: Sequence[Override], config: DictConfig) -> bool:
        """Puts values into a kept config; False if one of them is refused."""
        try:
            put_overrides([o for o in parsed if _is_value(o)], config)
        except HydraException:
            return False
        return True


def _is_value(override: Override) -> bool:
    """Whether an override sets a plain value, and neither chooses an option nor changes what keys there are."""
    key = override.get_key_element()
    if override.is_delete() or override.is_add() or override.is_force_add() or override.package is not None:
        return False
    return key not in GROUPS and not key.startswith("hydra") and not isinstance(override.value(), dict)


def _template(full: DictConfig) -> str:
    """The text of .hydra/hydra.yaml, with places for what differs between jobs of the same options."""
    hydra: Any = OmegaConf.to_container(OmegaConf.masked_copy(full, ["hydra"]), resolve=False, enum_to_str=True)
    hydra["hydra"]["overrides"]["task"] = TASK
    hydra["hydra"]["job"]["override_dirname"] = NAME
    hydra["hydra"]["runtime"]["cwd"] = CWD
    return yaml.dump(hydra, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
