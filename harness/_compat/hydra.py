"""Hydra: seen on hydra-core 1.3 and 1.4. Its inner modules are imported when they are needed, for they take time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

if TYPE_CHECKING:
    from hydra._internal.callbacks import Callbacks


def arguments_parser() -> argparse.ArgumentParser:
    """Return a new parser of Hydra's command line.

    Uses `hydra._internal.utils.get_args_parser`. Without it, no command line with overrides or
    with Hydra's flags can be read.
    """
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def completed(loader: Any, config: str, line: str) -> list[str]:
    """Return Hydra's completions of the last word of a command line.

    Uses `BashCompletion._query` of `hydra._internal.core_plugins.bash_completion`. Without it,
    the shell completes no override.
    """
    from hydra._internal.core_plugins.bash_completion import BashCompletion

    return BashCompletion(loader)._query(config_name=config, line=line)


def initialized(config_dir: str, job_name: str) -> AbstractContextManager[Any]:
    """Return a context in which Hydra composes configs of a folder.

    Hydra 1.3 warns if `version_base` is not given, and 1.4 if it is.
    """
    from hydra import __version__, initialize_config_dir

    old = {"version_base": "1.3"} if __version__.startswith("1.3.") else {}
    return initialize_config_dir(config_dir, job_name=job_name, **old)


def no_callbacks() -> Callbacks:
    """Return Hydra's callbacks for a config that has none; a context for a sweeper requires them.

    Uses `hydra._internal.callbacks.Callbacks`. Without it, no sweep starts.
    """
    from hydra._internal.callbacks import Callbacks

    return Callbacks()


def put_overrides(overrides: Sequence[Override], config: DictConfig) -> None:
    """Put the values of overrides into a composed config. Raises HydraException if one does not fit.

    Uses `ConfigLoaderImpl._apply_overrides_to_config` of `hydra._internal.config_loader_impl`.
    Without it, each job of a sweep must be composed anew, at many times the cost.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)


def swept_values(override: Override) -> list[Any]:
    """Return the values of a choice sweep, as Hydra puts them into configs.

    Uses `Override._convert_value`. Without it, `name=1e5,2e5` cannot be compared with the text
    that was typed.
    """
    return [Override._convert_value(value) for value in override.value().list]  # type: ignore[union-attr]


def with_number(override: Override, number: str, text: str) -> Override:
    """Return the override of a key with another number, as Hydra's parser returns it.

    Uses `Override._value`. Without it, each value of a swept key must be parsed, at many times the cost.

    Args:
        override: An override of the key.
        number: The new value, digits without a sign.
        text: The new override as typed.
    """
    return replace(override, _value=int(number) if number.isdecimal() else float(number), input_line=text)


def value_text(value: Any) -> str:
    """Write a value in the grammar of overrides.

    Uses `Override._get_value_element_as_str`. Without it, a text that looks like a number
    cannot be handed to Hydra in quotes.
    """
    return Override._get_value_element_as_str(value)
