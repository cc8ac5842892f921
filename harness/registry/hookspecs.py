"""The hooks of harness. A plugin implements any of them with `@harness.hookimpl`."""

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
    """Return the plugin's components: functions marked by `@harness.<kind>`."""
    raise NotImplementedError


@hookspec
def harness_commands() -> list[Command]:
    """Return commands for the command line, each a `harness.Command`; `harness NAME ...` runs it."""
    raise NotImplementedError


@hookspec
def harness_config_dirs() -> list[str]:
    """Return folders of presets and experiments, as `pkg://package.folder` (the folder holds an `__init__.py`)."""
    raise NotImplementedError


@hookspec
def harness_findings(records: list[Record]) -> list[str]:
    """Return lines to print below the summary of a run or a sweep.

    Args:
        records: Records of the runs that were trained.
    """
    raise NotImplementedError


@hookspec
def harness_left_out() -> dict[str, str]:
    """Return the components that the plugin leaves out, with the reason: {`kind/name`: a line}.

    `kind/prefix_*` stands for many. This hook is called once, when the plugin is scanned, so it may take time to try
    things. Components of `harness_components` that are named here are dropped. A user who chooses one is shown the
    reason.
    """
    raise NotImplementedError
