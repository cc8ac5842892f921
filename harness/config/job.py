"""The job: the result of composition, and the input of preparation."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.config.settings import Settings, typed_settings

MAX_COMMAND = 10_000  # characters; each record of a sweep holds its command


def command_line(overrides: Sequence[str], config_dir: str | None = None, sweep: bool = False) -> str:
    """Return the command that launches a run or a sweep, quoted for a shell; empty if it is very long.

    Args:
        overrides: Overrides as typed.
        config_dir: Folder given by --config-dir, or None.
        sweep: True for a sweep.

    >>> command_line(["optimizer=sgd,adam", "seed=range(3)"], sweep=True)
    "harness -m optimizer=sgd,adam 'seed=range(3)'"
    """
    folder = [] if config_dir is None else ["--config-dir", config_dir]
    command = shlex.join(["harness", *(["-m"] if sweep else []), *folder, *overrides])
    return command if len(command) <= MAX_COMMAND else ""


@dataclass(frozen=True)
class Job:
    """The checked config of one run as plain data, in which `auto` is not yet replaced."""

    values: dict[str, Any]
    overrides: list[str]
    hydra: str = field(default="", repr=False)  # text of .hydra/hydra.yaml
    swept: Sequence[str] = ()  # keys that the sweep varies
    command: str = ""  # that launched the run
    tuning: dict[str, Any] = field(default_factory=dict)  # the search that chose some of its settings

    @functools.cached_property
    def settings(self) -> Settings:
        return typed_settings(self.values)
