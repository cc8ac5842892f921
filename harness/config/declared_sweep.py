"""Sweeps that a file declares in `hydra.sweeper`, merged with the overrides typed after `-m`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from harness.config.override_text import wants_text
from harness.system.errors import HarnessError, shown

PARAMS = "hydra.sweeper.params"


def sweep_overrides(params: Mapping[str, Any], typed: Sequence[str], config: DictConfig) -> list[str]:
    """Return the overrides of a sweep: those of a file in their order, then those typed, which replace the file's.

    Args:
        params: `hydra.sweeper.params`, in the form of Hydra's basic sweeper: {"seed": "0,1,2", "+experiment": "a,b"}.
        typed: The overrides after `-m`.
        config: The config that they compose, for the types of the settings.

    Raises:
        HarnessError: If YAML has turned a text into a number, or if a value is neither text nor number.
    """
    overrides = {}
    for key, value in _flat(params):
        overrides[_bare(key)] = f"{key}={_value_text(key, value, config)}"
    for text in typed:
        overrides[_bare(text.partition("=")[0])] = text
    return list(overrides.values())


def refuse_another(job: DictConfig, master: DictConfig) -> None:
    """Refuse a job of a sweep whose own files declare another sweep, since that would be ignored.

    Raises:
        HarnessError: If they declare one.
    """
    declared: list[Any] = [OmegaConf.to_container(config.hydra.sweeper, resolve=False) for config in (job, master)]
    of_job, of_sweep = declared
    for key in ("params", "zip", "variants"):
        if of_job.get(key) and of_job[key] != of_sweep.get(key):
            name = f"experiment={job.hydra.runtime.choices.experiment}"
            raise HarnessError(
                f"{name} declares a sweep of its own (hydra.sweeper.{key}): run it by itself, not as a value of a sweep"
            )


def _bare(key: str) -> str:
    return key.lstrip("+~").strip()


def _flat(params: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in params.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _value_text(key: str, value: Any, config: DictConfig) -> str:
    if isinstance(value, str):
        return value
    if value is not None and not isinstance(value, (bool, int, float)):
        raise HarnessError(f"{PARAMS}.{key} must be quoted text as after -m ({key}: '0,1,2'), got {shown(value)}")
    if wants_text(_bare(key), value, config):
        raise HarnessError(f"{PARAMS}.{key} must be text: put it in quotes, {key}: '...', got {shown(value)}")
    return shown(value)
