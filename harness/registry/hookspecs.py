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
    """Return components that the plugin could offer but does not, and why.

    The hook is called once, when the plugin is scanned, and may take time. A component of the plugin that it names is
    left out. A user who chooses such a component sees the reason.

    Returns:
        `{"kind/name": reason}`; `kind/prefix_*` covers several names.
    """
    raise NotImplementedError
