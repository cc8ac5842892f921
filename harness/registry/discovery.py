"""Load a plugin from its entry point. Mistakes of the plugin are reported as problems and never raised."""

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
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import one_line, reraise_interrupt
from harness.system.process_state import ignore, kept

GROUP = "harness"
SAME_MODULE = "module"  # stage of the problem that another distribution has a module of our name
Component = Callable[..., Any]


@dataclass(frozen=True)
class PluginProblem:
    """A mistake of a plugin, and the stage of loading in which it was found."""

    plugin: str
    distribution: str
    stage: str  # import | register | <the hook's name> | component | command | duplicate | scan | module
    message: str
    traceback: str = ""
    component: str = ""  # kind/name or command/name, if it concerns one component, preset or command


@dataclass
class PluginContents:
    """The components, commands and presets of one loaded plugin."""

    plugin: str
    distribution: str
    components: dict[tuple[str, str], Component] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    config_dirs: dict[str, list[str]] = field(default_factory=dict)  # {folder: names of its presets}
    problems: list[PluginProblem] = field(default_factory=list)
    findings: pluggy.HookCaller | None = None  # called with records=[...], returns lists of lines
    left_out: dict[str, str] = field(default_factory=dict)  # {kind/name or kind/prefix_*: why}

    def describe(self) -> dict[str, Any]:
        """Return the contents as plain data for the catalogue."""
        return {
            "components": [describe(component) for component in self.components.values()],
            "commands": [commands.describe(command) for command in self.commands.values()],
            "config_dirs": self.config_dirs,
            "findings": self.findings is not None,
            "problems": [asdict(problem) for problem in self.problems],
            "left_out": self.left_out,
        }


def entry_points() -> Iterator[tuple[importlib.metadata.EntryPoint, str, str]]:
    """Yield (entry point, distribution, version) of every installed plugin once, in a stable order."""
    seen: set[tuple[str, str]] = set()
    rows = []
    for point in importlib.metadata.entry_points(group=GROUP):
        distribution, version = _distribution(point)
        if (point.name, distribution) not in seen:  # a folder that is twice in sys.path shows its entries twice
            seen.add((point.name, distribution))
            rows.append((point, distribution, version))
    yield from sorted(rows, key=lambda row: (row[1] != DISTRIBUTION, row[1], row[0].name))


def _distribution(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    """Return name and version of the distribution of an entry point; "?" if its METADATA is missing."""
    try:
        fields = set(point.dist.metadata) if point.dist else set()
    except FileNotFoundError:  # raised by newer versions of importlib.metadata, and by its backport
        fields = set()
    return (point.dist.name, point.dist.version) if point.dist and "Name" in fields else ("?", "")


def blocked() -> set[str]:
    """Return the plugins that HARNESS_BLOCK=a,b excludes, as names of entry points or distributions."""
    return {name.strip() for name in os.environ.get("HARNESS_BLOCK", "").split(",") if name.strip()}


def load(point: importlib.metadata.EntryPoint, distribution: str, scanned: bool = False) -> PluginContents:
    """Import one plugin, call its hooks, and restore the state of this process.

    Args:
        point: Entry point of the plugin.
        distribution: Distribution that the plugin belongs to.
        scanned: True in the process that scans the plugin for the catalogue. Changes of the process state are then not
            reported, since the process that uses the plugin imports it again and reports them.
    """
    by = f"the import of plugin {point.name} ({distribution})"
    with kept(ignore if scanned else None, by, point.module.partition(".")[0]):
        return _load(point, distribution, scanned)


def _load(point: importlib.metadata.EntryPoint, distribution: str, scanned: bool) -> PluginContents:
    """Import one plugin and call its hooks; `harness_left_out` only if `scanned`. Only Ctrl-C is raised."""
    offer = PluginContents(point.name, distribution)

    def report(stage: str, error: BaseException | str, component: str = "") -> None:
        text = error if isinstance(error, str) else one_line(error)
        trace = "" if isinstance(error, str) else "".join(traceback.format_exception(error))
        offer.problems.append(PluginProblem(point.name, distribution, stage, text, trace, component))

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        module = point.load()
    except BaseException as error:  # SystemExit and SyntaxError too: a plugin never ends the harness
        reraise_interrupt(error)
        report("import", error)
        return offer
    try:
        manager.register(module, point.name)
        manager.check_pending()
    except Exception as error:
        report("register", error)
        return offer
    if not manager.get_hookcallers(module):
        report("register", "it implements no hook: mark harness_components with @harness.hookimpl")
    for folder in _call(manager, "harness_config_dirs", report):
        try:
            offer.config_dirs[folder] = plugin_presets(folder)
        except ValueError as error:
            report("harness_config_dirs", str(error))
        except BaseException as error:  # the folder is a package, and its __init__.py may do anything
            reraise_interrupt(error)
            report("harness_config_dirs", error)
    for component in _call(manager, "harness_components", report):
        label = ""
        try:
            mark = mark_of(component)
            label = f"{mark.kind}/{mark.name}" if mark else ""
            row = describe(component)
            json.dumps(row)
        except ComponentError as error:
            report("component", str(error), label)
            continue
        except Exception as error:  # a trait that is not plain data, a function without a signature
            report("component", f"{label or type(component).__name__}: {one_line(error)}", label)
            continue
        key = (row["kind"], row["name"])
        if key in offer.components:
            report("duplicate", f"{label} is offered twice by this plugin", label)
        else:
            offer.components[key] = component
    for command in _call(manager, "harness_commands", report):
        label = f"command/{command.name}" if isinstance(command, Command) else ""
        try:
            row = commands.describe(command)
        except CommandError as error:
            report("command", str(error), label)
            continue
        except BaseException as error:  # the command's `arguments` function may do anything
            reraise_interrupt(error)
            report("command", f"{label}: {one_line(error)}", label)
            continue
        if row["name"] in ("help", *commands.built_in_names()):
            report("duplicate", f"{label} is offered by harness itself and {point.name!r} of {distribution}", label)
        elif row["name"] in offer.commands:
            report("duplicate", f"{label} is offered twice by this plugin", label)
        else:
            offer.commands[row["name"]] = command
    if manager.hook.harness_findings.get_hookimpls():
        offer.findings = manager.hook.harness_findings
    if scanned:
        for name, reason in _call(manager, "harness_left_out", report):
            kind, _, rest = str(name).partition("/")
            if kind in KINDS and rest and isinstance(reason, str):
                offer.left_out[name] = " ".join(reason.split())
                offer.components.pop((kind, rest), None)
            else:
                report("harness_left_out", f"expected {{'KIND/NAME': a line}}, got {{{name!r}: {reason!r}}}")
    return offer


def _call(manager: pluggy.PluginManager, hook: str, report: Callable[[str, Any], None]) -> list[Any]:
    """Call the implementations of a hook and return their results in one list."""
    results: list[Any] = []
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        try:
            result = implementation.function()
            if isinstance(result, str):  # a string would be read as a list of its letters
                raise TypeError(f"expected a list, got the string {result!r}")
            results.extend(result.items() if isinstance(result, dict) else result)
        except BaseException as error:  # as above
            reraise_interrupt(error)
            report(hook, error)
    return results
