"""Live discovery: one plugin's entry point to its components. Anything that it does wrong is told, not raised."""

from __future__ import annotations

import importlib.metadata
import json
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pluggy

from harness.registry import command as commands
from harness.registry import hookspecs
from harness.registry.command import Command, CommandError
from harness.registry.component import ComponentError, describe, mark_of
from harness.registry.kinds import KINDS
from harness.registry.presets import plugin_presets
from harness.system.errors import one_line, reraise_interrupt
from harness.system.process_state import ignore, kept

GROUP = "harness"
Component = Callable[..., Any]


@dataclass(frozen=True)
class PluginProblem:
    """What is wrong with a plugin: who, where in its loading, what."""

    plugin: str
    distribution: str
    stage: str  # import | register | <the hook's name> | component | command | duplicate | scan
    message: str
    traceback: str = ""
    component: str = ""  # kind/name or command/name, where it is about one component, preset or command


@dataclass
class PluginContents:
    """What one plugin brings, live."""

    plugin: str
    distribution: str
    components: dict[tuple[str, str], Component] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    config_dirs: dict[str, list[str]] = field(default_factory=dict)  # a folder, and the names of its presets
    problems: list[PluginProblem] = field(default_factory=list)
    findings: pluggy.HookCaller | None = None  # where it has some: called with records=[...], it returns lists of lines
    left_out: dict[str, str] = field(default_factory=dict)  # {kind/name or kind/prefix_*: why}

    def describe(self) -> dict[str, Any]:
        """As plain data for the catalogue."""
        return {
            "components": [describe(component) for component in self.components.values()],
            "commands": [commands.describe(command) for command in self.commands.values()],
            "config_dirs": self.config_dirs,
            "findings": self.findings is not None,
            "problems": [asdict(problem) for problem in self.problems],
            "left_out": self.left_out,
        }


def entry_points() -> Iterator[tuple[importlib.metadata.EntryPoint, str, str]]:
    """(entry point, distribution, version) of every installed plugin, each distribution once, in a stable order."""
    seen: set[tuple[str, str]] = set()
    found = []
    for point in importlib.metadata.entry_points(group=GROUP):
        distribution, version = _distribution(point)
        if (point.name, distribution) not in seen:  # a folder that stands twice in sys.path shows its entries twice
            seen.add((point.name, distribution))
            found.append((point, distribution, version))
    yield from sorted(found, key=lambda row: (row[1] != "harness", row[1], row[0].name))


def _distribution(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    """Name and version of what an entry point belongs to; "?" where its METADATA is gone."""
    try:
        return (point.dist and point.dist.name) or "?", (point.dist and point.dist.version) or ""
    except FileNotFoundError:  # so newer versions of importlib.metadata tell it, also as a backport that others import
        return "?", ""


def blocked() -> set[str]:
    """The plugins that HARNESS_BLOCK=a,b leaves out, by the name of their entry point or distribution."""
    return {name.strip() for name in os.environ.get("HARNESS_BLOCK", "").split(",") if name.strip()}


def load(point: importlib.metadata.EntryPoint, distribution: str, scanned: bool = False) -> PluginContents:
    """Imports one plugin, as `_load` does, and leaves the state of this process as it was.

    What it changed is told, unless it is `scanned`: whoever uses it imports it again.
    """
    by = f"the import of plugin {point.name} ({distribution})"
    with kept(ignore if scanned else None, by, point.module.partition(".")[0]):
        return _load(point, distribution, scanned)


def _load(point: importlib.metadata.EntryPoint, distribution: str, scanned: bool) -> PluginContents:
    """Imports one plugin and calls its hooks, that on what it leaves out only when it is `scanned`. Never raises but
    for Ctrl-C.
    """
    offer = PluginContents(point.name, distribution)

    def wrong(stage: str, error: BaseException | str, component: str = "") -> None:
        text = error if isinstance(error, str) else one_line(error)
        trace = "" if isinstance(error, str) else "".join(traceback.format_exception(error))
        offer.problems.append(PluginProblem(point.name, distribution, stage, text, trace, component))

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        module = point.load()
    except BaseException as error:  # SystemExit and SyntaxError too: a plugin never ends the harness
        reraise_interrupt(error)
        wrong("import", error)
        return offer
    try:
        manager.register(module, point.name)
        manager.check_pending()
    except Exception as error:
        wrong("register", error)
        return offer
    if not manager.get_hookcallers(module):
        wrong("register", "it implements no hook: mark harness_components with @harness.hookimpl")
    for folder in _call(manager, "harness_config_dirs", wrong):
        try:
            offer.config_dirs[folder] = plugin_presets(folder)
        except ValueError as error:
            wrong("harness_config_dirs", str(error))
        except BaseException as error:  # the folder is a package, and its __init__.py may do anything
            reraise_interrupt(error)
            wrong("harness_config_dirs", error)
    for component in _call(manager, "harness_components", wrong):
        label = ""
        try:
            mark = mark_of(component)
            label = f"{mark.kind}/{mark.name}" if mark else ""
            row = describe(component)
            json.dumps(row)
        except ComponentError as error:
            wrong("component", str(error), label)
            continue
        except Exception as error:  # a trait that is no data, a function without a signature
            wrong("component", f"{label or type(component).__name__}: {one_line(error)}", label)
            continue
        key = (row["kind"], row["name"])
        if key in offer.components:
            wrong("duplicate", f"{label} is offered twice by this plugin", label)
        else:
            offer.components[key] = component
    for command in _call(manager, "harness_commands", wrong):
        label = f"command/{command.name}" if isinstance(command, Command) else ""
        try:
            row = commands.describe(command)
        except CommandError as error:
            wrong("command", str(error), label)
            continue
        except BaseException as error:  # its function of arguments may do anything
            reraise_interrupt(error)
            wrong("command", f"{label}: {one_line(error)}", label)
            continue
        if row["name"] in ("help", *commands.built_in_names()):
            wrong("duplicate", f"{label} is offered by harness itself and {point.name!r} of {distribution}", label)
        elif row["name"] in offer.commands:
            wrong("duplicate", f"{label} is offered twice by this plugin", label)
        else:
            offer.commands[row["name"]] = command
    if manager.hook.harness_findings.get_hookimpls():
        offer.findings = manager.hook.harness_findings
    if scanned:
        for name, reason in _call(manager, "harness_left_out", wrong):
            kind, _, rest = str(name).partition("/")
            if kind in KINDS and rest and isinstance(reason, str):
                offer.left_out[name] = " ".join(reason.split())
                offer.components.pop((kind, rest), None)
            else:
                wrong("harness_left_out", f"expected {{'KIND/NAME': a line}}, got {{{name!r}: {reason!r}}}")
    return offer


def _call(manager: pluggy.PluginManager, hook: str, wrong: Callable[[str, Any], None]) -> list[Any]:
    results: list[Any] = []
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            found = implementation.function()
            if isinstance(found, str):  # its letters would be told one by one
                raise TypeError(f"it returns the text {found!r}, and a list is wanted")
            results.extend(found.items() if isinstance(found, dict) else found)
        except BaseException as error:  # as above
            reraise_interrupt(error)
            wrong(hook, error)
    return results
