"""The checks over components: what each finds, in order, each once."""

from __future__ import annotations

import tempfile
import time
import traceback
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.config.schema import entry_parameters
from harness.registry import catalogue
from harness.registry.kinds import SKIPS
from harness.registry.param_types import convert
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError, one_line, suggest
from harness.system.process_state import preserved
from harness.testing.check import CHECKS, Check, checks_of
from harness.testing.checks import common, company, devices, fused, gradients, samples, stepping, traits, values  # noqa: F401  # checks
from harness.testing.component_case import Case, Fault, Inapplicable

Status = Literal["passed", "failed", "skipped"]
Settings = Mapping[str, Mapping[str, Any]]  # {kind/name: {setting: value}}


@dataclass(frozen=True)
class Result:
    """What a check found of a component."""

    component: str
    check: str
    status: Status
    finding: str = ""  # of one that failed what is wrong, of one that was skipped why
    seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


class Subject:
    """A component and what its checks have found so far: a check that another needs is run once."""

    def __init__(self, entry: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> None:
        self.entry, self.label = entry, f"{entry['kind']}/{entry['name']}"
        self._folder = tempfile.TemporaryDirectory(prefix="harness-check-")
        weakref.finalize(self, self._folder.cleanup)
        function = REGISTRY.get(entry["kind"], entry["name"])
        self.case = Case(entry, function, Path(self._folder.name), given or {})
        self._found: dict[str, Result] = {}
        self._blocked: set[str] = set()

    @property
    def checks(self) -> list[Check]:
        """Those of its kind."""
        return checks_of(self.entry["kind"])

    def result(self, name: str) -> Result:
        """What a check finds."""
        if name not in self._found:
            self._found[name] = self._run(CHECKS[name])
        return self._found[name]

    def _run(self, check: Check) -> Result:
        own = {one.name for one in self.checks}
        for need in check.needs:
            before = self.result(need) if need in own else None
            if before is not None and (why := self._blocks(before)):
                self._blocked.add(check.name)
                return Result(self.label, check.name, "skipped", why)
        began = time.perf_counter()
        status, finding = self._tried(check)
        skip = (self.entry["traits"].get(SKIPS) or {}).get(check.name)
        if skip is not None and status != "skipped":
            needed = status == "failed"
            status = "skipped" if needed else "failed"
            finding = (
                f"declared: {skip}" if needed else f"it declares to be skipped ({skip}), and passes: take that out"
            )
        return Result(self.label, check.name, status, finding, time.perf_counter() - began)

    def _blocks(self, before: Result) -> str:
        """Why a check that needs this one says nothing."""
        if before.status == "failed":
            return f"not tried: {before.check} failed"
        unbuilt = before.status == "skipped" and (before.check == "builds" or before.check in self._blocked)
        return before.finding if unbuilt else ""

    def _tried(self, check: Check) -> tuple[Status, str]:
        try:
            with preserved():
                check.function(self.case)
        except Fault as fault:
            return "failed", str(fault)
        except Inapplicable as why:
            return "skipped", str(why)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a component never ends the checks
            frames = [f for f in traceback.extract_tb(error.__traceback__) if "harness/testing" not in f.filename]
            where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
            return "failed", f"{one_line(error)}{where}"
        return "passed", ""


def select(names: Sequence[str]) -> list[Mapping[str, Any]]:
    """The components of plugins (by distribution or entry point), and single ones by KIND/NAME."""
    known = catalogue.current()
    found: dict[str, Mapping[str, Any]] = {}
    for name in names:
        if "/" in name:
            kind, _, component = name.partition("/")
            entries: Iterable[Mapping[str, Any]] = [known.get(kind, component)]
        else:
            plugins = plugins_of(name)
            own = {(p.distribution, p.name) for p in plugins}
            entries = [e for e in known if (e["origin"], e["plugin"]) in own]
            if not plugins:
                words = {p.distribution for p in known.plugins}
                raise HarnessError(f"no plugin {name!r} is installed.{suggest(name, words)} A component is KIND/NAME.")
            if blocked := [p for p in plugins if p.status == "blocked"]:
                raise HarnessError(f"the plugin {blocked[0].distribution} is blocked (HARNESS_BLOCK)")
        found |= {f"{e['kind']}/{e['name']}": e for e in entries}
    return list(found.values())


def problems(names: Sequence[str]) -> list[Result]:
    """What is wrong with plugins themselves, each a failed result of `loads`; one that passed where nothing is."""
    found = []
    for plugin in {(p.distribution, p.name): p for name in names for p in plugins_of(name)}.values():
        wrong = [
            p for p in catalogue.current().problems if (p.plugin, p.distribution) == (plugin.name, plugin.distribution)
        ]
        found += [Result(plugin.name, "loads", "failed", f"{p.stage}: {p.message}") for p in wrong]
        if not wrong:
            found.append(Result(plugin.name, "loads", "passed"))
    return found


def plugins_of(name: str) -> list[catalogue.Plugin]:
    """The plugin of an entry point, or else all that a distribution brings."""
    known = catalogue.current().plugins
    return [p for p in known if _named(name) == _named(p.name)] or [
        p for p in known if _named(name) == _named(p.distribution)
    ]


def _named(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def refuse_unknown(entries: Iterable[Mapping[str, Any]], settings: Settings) -> None:
    """Raises HarnessError for given settings of what is not checked, or that a component does not have or allow."""
    known = {f"{entry['kind']}/{entry['name']}": entry_parameters(dict(entry)) for entry in entries}
    for label, given in settings.items():
        if label not in known:
            raise HarnessError(f"a setting is given for {label!r}, which is not checked.{suggest(label, known)}")
        hints = {p.name: p.hint for p in known[label]}
        for name, value in given.items():
            if name not in hints:
                raise HarnessError(f"{label} has no setting {name!r}.{suggest(name, hints)}")
            try:
                convert(hints[name], value)
            except ValueError as error:
                raise HarnessError(f"{label}.{name} {error}") from error


def settings_for(entry: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
    """The given settings of one component."""
    return settings.get(f"{entry['kind']}/{entry['name']}", {})
