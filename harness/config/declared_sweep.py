"""A sweep that a file declares, in `hydra.sweeper.params`: what its keys and the words behind `-m` ask for together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from harness.config.override_text import wants_text
from harness.system.errors import HarnessError, shown

PARAMS = "hydra.sweeper.params"


def words(params: Mapping[str, Any], typed: Sequence[str], config: DictConfig) -> list[str]:
    """The overrides of a sweep: those of a file, in their order, and what was typed; of one key, what was typed.

    Args:
        params: `hydra.sweeper.params`, as Hydra's basic sweeper has it: {"seed": "0,1,2", "+experiment": "a,b"}.
        typed: The overrides behind `-m`.
        config: What they compose, which tells what components are chosen.

    Raises:
        HarnessError: For a value whose text is lost, or that is no text and no number.
    """
    found = {}
    for key, value in _flat(params):
        found[_bare(key)] = f"{key}={_word(key, value, config)}"
    for text in typed:
        found[_bare(text.partition("=")[0])] = text
    return list(found.values())


def refuse_another(job: DictConfig, master: DictConfig) -> None:
    """Refuse a job of a sweep whose own files declare another sweep: it would not be swept.

    Raises:
        HarnessError: Where they do.
    """
    own, whole = (OmegaConf.select(config, PARAMS) for config in (job, master))
    if own and own != whole:
        name = f"experiment={job.hydra.runtime.choices.experiment}"
        raise HarnessError(f"{name} declares a sweep of its own ({PARAMS}), and is one of several here: sweep it alone")


def _bare(key: str) -> str:
    return key.lstrip("+~").strip()


def _flat(params: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _word(key: str, value: Any, config: DictConfig) -> str:
    if isinstance(value, str):
        return value
    if value is not None and not isinstance(value, (bool, int, float)):
        raise HarnessError(f"{PARAMS}.{key} is text as behind -m, in quotes ({key}: '0,1,2'), got {shown(value)}")
    if wants_text(_bare(key), value, config):
        raise HarnessError(f"{PARAMS}.{key} is text: put it in quotes, {key}: '...', got {shown(value)}")
    return shown(value)
