"""The catalogue of installed components, for help, listing, completion and composition.

It is merged from one cached scan per plugin (`scan_cache`), so that reading it imports no plugin.
"""

from __future__ import annotations

import fnmatch
import hashlib
import importlib.metadata
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from harness.registry import foreign_options
from harness.registry.component import Parameter
from harness.registry.discovery import SAME_MODULE, PluginProblem, blocked, entry_points
from harness.registry.kinds import KINDS
from harness.registry.param_types import decode
from harness.registry.presets import builtin_presets
from harness.registry.scanning.scan_cache import OURS, cached, cached_together, end_all, fingerprint
from harness.system import session
from harness.system.distribution import DISTRIBUTION
from harness.system.errors import HarnessError, suggest
from harness.system.spinner import Spinner


@dataclass
class Plugin:
    """An installed plugin, as `harness plugins` shows it."""

    name: str
    distribution: str
    version: str
    status: str  # installed | blocked | broken
    components: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass
class Catalogue:
    """The components, presets and commands of all installed plugins, and the problems met in loading them."""

    entries: dict[str, dict[str, dict[str, Any]]]
    plugins: list[Plugin]
    problems: list[PluginProblem]
    config_dirs: list[tuple[str, str]]  # (distribution, pkg://...)
    trainer: dict[str, Any]  # Lightning's Trainer: its parameters and defaults
    presets: dict[str, str] = field(default_factory=dict)  # {group/name: distribution} of the plugins' own presets
    files: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # (plugin, distribution): opened to load it
    # {kind/name or kind/prefix_*: (distribution, reason)} of components that a plugin could bring and does not
    absent: dict[str, tuple[str, str]] = field(default_factory=dict)
    commands: dict[str, dict[str, Any]] = field(default_factory=dict)  # {name: row}
    finders: list[tuple[str, str]] = field(default_factory=list)  # (plugin, distribution) with harness_findings
    key: str = ""  # digest of the installed packages, and of the state of the files of harness and of the plugins

    def names(self, kind: str) -> list[str]:
        """Return the sorted names of the components of a kind."""
        return sorted(self.entries.get(kind, {}))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return the row of one component.

        Raises:
            HarnessError: If there is none; with the nearest name, or the reason why it was left out.
        """
        if kind not in KINDS:
            raise HarnessError(f"no kind {kind!r}.{suggest(kind, KINDS)}")
        if name not in self.entries[kind]:
            reason = self.left_out(kind, name)
            if reason is None and (instead := foreign_options.option(kind, name)):
                reason = f"no {kind} {name!r}. Instead: {instead}"
            raise HarnessError(reason or f"no {kind} {name!r}.{suggest(name, self.names(kind))}{self.missing()}")
        return self.entries[kind][name]

    def files_of(self, kind: str, name: str) -> list[str]:
        """Return the files outside of installed packages that a component's plugin opens while it is loaded."""
        entry = self.entries[kind].get(name, {})
        return self.files.get((entry.get("plugin", ""), entry.get("origin", "")), [])

    def serves(self, tasks: Sequence[str] | None, task: str) -> bool:
        """Return True if a component that declares `tasks` can be used for a task.

        Args:
            tasks: Tasks that the component declares; None or empty if it can be used for all.
            task: Name of the task. A component for the task that this one is `like` can be used too.
        """
        return not tasks or task in tasks or self.get("task", task)["traits"].get("like") in tasks

    def left_out(self, kind: str, name: str) -> str | None:
        """Return the reason why a plugin's component or preset cannot be chosen.

        None if it can be chosen, or if no plugin knows of it.
        """
        if name in self.entries.get(kind, {}):
            return None
        for problem in self.problems:
            if problem.component == f"{kind}/{name}":
                return f"{kind}/{name} of {problem.distribution} is left out: {problem.message}"
        for pattern, (distribution, reason) in self.absent.items():
            if fnmatch.fnmatchcase(f"{kind}/{name}", pattern):
                return f"{kind}/{name} of {distribution} is left out: {reason}"
        return None

    def hints(self, kind: str | None) -> list[str]:
        """Return a line for each group of components that a further package would bring, of one kind or of all."""
        return [
            f"{pattern}: {reason}"
            for pattern, (_, reason) in self.absent.items()
            if "*" in pattern and kind in (None, pattern.partition("/")[0])
        ]

    def missing(self) -> str:
        """Return the end of an error line about an unknown name: the plugins that may have brought it."""
        presets = set(self.presets.values())
        suspects = [
            f"{p.name} ({p.status})"
            for p in self.plugins
            if p.status != "installed" and not p.components and not p.commands and p.distribution not in presets
        ]
        return f" Left out: {', '.join(suspects)}; see harness plugins" if suspects else ""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for kind in KINDS:
            for name in self.names(kind):
                yield self.entries[kind][name]


class DecodedParameters(dict[int, tuple[dict[str, Any], list[Parameter]]]):
    """The parameters of catalogue entries by the `id` of the entry, which is kept alive."""


def entry_parameters(entry: dict[str, Any]) -> list[Parameter]:
    """Return the parameters of a catalogue entry, with their hints. They are cached, since every job needs them."""
    decoded = session.state(DecodedParameters)
    cached = decoded.get(id(entry))
    if cached is None or cached[0] is not entry:
        parameters = [
            Parameter(row["name"], decode(row["type"]), "???" if row["required"] else row["default"])
            for row in entry["parameters"]
        ]
        cached = decoded[id(entry)] = (entry, parameters)
    return cached[1]


def current() -> Catalogue:
    """Return the session's catalogue, which is read once."""
    return session.state(read)


def read(again: bool = False) -> Catalogue:
    """Read the catalogue of what is installed now, and scan the plugins that are new.

    Args:
        again: Also scan the plugins that hung or crashed recently.
    """
    excluded = blocked()
    points = list(entry_points())
    wanted = [(p, d, v) for p, d, v in points if p.name not in excluded and d not in excluded]
    environment = fingerprint(d for _, d, _ in points)
    jobs = [("", "", environment.key("", ""))]  # Lightning's Trainer
    jobs += [(p.name, d, environment.key(p.name, d, p.value, v)) for p, d, v in wanted]
    with Spinner("reading the installed plugins"), ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        try:
            ours = pool.submit(cached_together, [job for job in jobs if job[1] in OURS], again)
            others = [pool.submit(cached, *job, again) for job in jobs if job[1] not in OURS]
            scans = ours.result() + [scan.result() for scan in others]  # in the order of the jobs: ours come first
        except KeyboardInterrupt:  # leaving the pool would wait for a scan that hangs
            end_all()
            raise
    plugins = [Plugin(p.name, d, v, "blocked") for p, d, v in points if p.name in excluded or d in excluded]
    merged = _merge([(p.name, d, v) for p, d, v in wanted], scans[1:], plugins, scans[0].get("trainer", {}))
    return replace(merged, key=hashlib.sha256(" ".join(key for *_, key in jobs).encode()).hexdigest()[:16])


def _merge(
    wanted: list[tuple[str, str, str]],
    scans: list[dict[str, Any]],
    plugins: list[Plugin],
    trainer: dict[str, Any],
) -> Catalogue:
    problems = [PluginProblem(**row) for scan in scans for row in scan["problems"]]
    for problem in problems:
        if problem.stage == SAME_MODULE:
            warnings.warn(problem.message, stacklevel=2)
    entries = _components(wanted, scans, problems)
    commands = _commands(wanted, scans, problems)
    folders, presets = _presets(wanted, scans, entries, problems)
    for name, distribution, version in wanted:
        components = [
            f"{k}/{n}"
            for k, names in entries.items()
            for n, r in names.items()
            if r["plugin"] == name and r["origin"] == distribution
        ]
        broken = any(p.plugin == name and p.distribution == distribution for p in problems)
        verbs = [n for n, r in commands.items() if (r["plugin"], r["origin"]) == (name, distribution)]
        status = "broken" if broken else "installed"
        plugins.append(Plugin(name, distribution, version, status, sorted(components), sorted(verbs)))
    order = sorted(plugins, key=lambda p: (p.distribution, p.name))
    absent = {
        pattern: (distribution, reason)
        for (_, distribution, _), scan in zip(wanted, scans, strict=True)
        for pattern, reason in scan.get("left_out", {}).items()
    }
    finders = [(n, d) for (n, d, _), scan in zip(wanted, scans, strict=True) if scan.get("findings")]
    files = {
        (name, distribution): list(scan.get("files", {}))
        for (name, distribution, _), scan in zip(wanted, scans, strict=True)
    }
    return Catalogue(entries, order, problems, folders, trainer, presets, files, absent, commands, finders)


def _components(
    wanted: list[tuple[str, str, str]], scans: list[dict[str, Any]], problems: list[PluginProblem]
) -> dict[str, dict[str, dict[str, Any]]]:
    offers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (name, distribution, _), scan in zip(wanted, scans, strict=True):
        for row in scan["components"]:
            row = row | {"plugin": name, "origin": distribution}
            offers.setdefault((row["kind"], row["name"]), []).append(row)
    entries: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
    for (kind, name), rows in offers.items():
        if (row := _winner(f"{kind}/{name}", rows, problems)) is not None:
            entries[kind][name] = row
    return entries


def _commands(
    wanted: list[tuple[str, str, str]], scans: list[dict[str, Any]], problems: list[PluginProblem]
) -> dict[str, dict[str, Any]]:
    offers: dict[str, list[dict[str, Any]]] = {}
    for (name, distribution, _), scan in zip(wanted, scans, strict=True):
        for row in scan.get("commands", []):
            offers.setdefault(row["name"], []).append(row | {"plugin": name, "origin": distribution})
    won = {name: _winner(f"command/{name}", rows, problems) for name, rows in sorted(offers.items())}
    return {name: row for name, row in won.items() if row is not None}


def _winner(label: str, rows: list[dict[str, Any]], problems: list[PluginProblem]) -> dict[str, Any] | None:
    """Return the row that keeps a name, and add a problem for each other plugin that offers it.

    A name of harness itself cannot be taken. If two other plugins offer a name, neither of them keeps it: the order of
    files must not decide.
    """
    builtin = [row for row in rows if row["origin"] == DISTRIBUTION]
    for row in rows if len(rows) > 1 else []:
        if row not in builtin:
            providers = " and ".join(f"{r['plugin']!r} of {r['origin']}" for r in rows)
            message = f"{label} is offered by {providers}; uninstall or block one (HARNESS_BLOCK)"
            problems.append(PluginProblem(row["plugin"], row["origin"], "duplicate", message, component=label))
    return (builtin or rows)[0] if builtin or len(rows) == 1 else None


def _presets(
    wanted: list[tuple[str, str, str]],
    scans: list[dict[str, Any]],
    entries: dict[str, dict[str, dict[str, Any]]],
    problems: list[PluginProblem],
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the plugins' folders of presets, and the distribution of each preset.

    A folder that holds a taken name is left out, since Hydra would silently read the first file of that name.
    """
    offers = [
        (plugin, distribution, folder, names)
        for (plugin, distribution, _), scan in zip(wanted, scans, strict=True)
        for folder, names in scan["config_dirs"].items()
    ]
    builtin = builtin_presets()
    folders: list[tuple[str, str]] = []
    presets: dict[str, str] = {}
    for plugin, distribution, folder, names in offers:
        taken = {}
        for name in names:
            kind, _, component = name.partition("/")
            if name in builtin:
                taken[name] = DISTRIBUTION
            elif component in entries.get(kind, {}):
                taken[name] = entries[kind][component]["origin"]
            else:
                for _, owner, other, other_names in offers:
                    if (owner, other) != (distribution, folder) and name in other_names:
                        taken[name] = owner
        for name, owner in taken.items():
            message = f"the preset {name} in {folder} has a name taken by {owner}; rename the file"
            problems.append(PluginProblem(plugin, distribution, "duplicate", message, component=name))
        if not taken:
            folders.append((distribution, folder))
            presets |= dict.fromkeys(names, distribution)
    return folders, presets


def versions() -> dict[str, str]:
    """Return {distribution: version} of every installed plugin."""
    return {d: v for _, d, v in entry_points()} or {DISTRIBUTION: importlib.metadata.version(DISTRIBUTION)}
