"""What a plugin can offer. A plugin implements any of these with `@harness.hookimpl`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from harness.registry.command import Command
    from harness.results.record import Record

PROJECT = "harness"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def harness_components() -> list[Callable[..., Any]]:
    """The plugin's components: functions marked by `@harness.<kind>`."""
    raise NotImplementedError


@hookspec
def harness_commands() -> list[Command]:
    """Commands of the command line, each a `harness.Command`: `harness NAME ...` runs it."""
    raise NotImplementedError


@hookspec
def harness_config_dirs() -> list[str]:
    """Folders of presets and experiments, as `pkg://package.folder` (the folder holds an `__init__.py`)."""
    raise NotImplementedError


@hookspec
def harness_findings(records: list[Record]) -> list[str]:
    """Lines to print below the summary of a run or a sweep, given the records of the runs that it has trained."""
    raise NotImplementedError


@hookspec
def harness_left_out() -> dict[str, str]:
    """What the plugin could bring and does not, and why: {`kind/name`: a line}; `kind/prefix_*` stands for many.

    It is asked once, when the plugin is scanned, and may take its time to try things: a component of its own that it
    names is left out. Whoever chooses what is named here is told the line.
    """
    raise NotImplementedError
