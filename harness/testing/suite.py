"""Run the conformance checks over components, each check once and in order."""

from __future__ import annotations

import tempfile
import time
import traceback
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from harness.registry import catalogue
from harness.registry.catalogue import entry_parameters
from harness.registry.kinds import SKIPS
from harness.registry.param_types import convert
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError, one_line, suggest
from harness.system.process_state import preserved
from harness.testing.check import CHECKS, Check, checks_of
from harness.testing.checks import (  # noqa: F401  # checks
    common,
    company,
    devices,
    fused,
    gradients,
    recorded,
    samples,
    stepping,
    traits,
    values,
)
from harness.testing.component_case import Case, Fault, Inapplicable
from harness.testing.selection import plugins_of

Status = Literal["passed", "failed", "skipped"]
Settings = Mapping[str, Mapping[str, Any]]  # {kind/name: {setting: value}}


@dataclass(frozen=True)
class Result:
    """The result of a check of a component."""

    component: str
    check: str
    status: Status
    finding: str = ""  # the mistake if it failed, the reason if it was skipped
    seconds: float = 0.0

    def row(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self)


class Subject:
    """A component with the results of its checks so far, so that a check that others need runs once."""

    def __init__(self, entry: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> None:
        self.entry, self.label = entry, f"{entry['kind']}/{entry['name']}"
        self._folder = tempfile.TemporaryDirectory(prefix="harness-check-")
        weakref.finalize(self, self._folder.cleanup)
        function = REGISTRY.get(entry["kind"], entry["name"])
        self.case = Case(entry, function, Path(self._folder.name), given or {})
        self._results: dict[str, Result] = {}
        self._blocked: set[str] = set()

    @property
    def checks(self) -> list[Check]:
        """The checks of its kind."""
        return checks_of(self.entry["kind"])

    def result(self, name: str) -> Result:
        """Return the result of a check, which is run at the first call."""
        if name not in self._results:
            self._results[name] = self._run(CHECKS[name])
        return self._results[name]

    def _run(self, check: Check) -> Result:
        names = {c.name for c in self.checks}
        for need in check.needs:
            before = self.result(need) if need in names else None
            if before is not None and (why := self._blocks(before)):
                self._blocked.add(check.name)
                return Result(self.label, check.name, "skipped", why)
        began = time.perf_counter()
        status, finding = self._call(check)
        skip = (self.entry["traits"].get(SKIPS) or {}).get(check.name)
        if skip is not None and status != "skipped":
            needed = status == "failed"
            status = "skipped" if needed else "failed"
            finding = (
                f"declared: {skip}"
                if needed
                else f"its trait skips names this check ({skip}), but it passes: remove that"
            )
        return Result(self.label, check.name, status, finding, time.perf_counter() - began)

    def _blocks(self, before: Result) -> str:
        """Return why a check that needs this one is not run, or the empty string."""
        if before.status == "failed":
            return f"not tried: {before.check} failed"
        unbuilt = before.status == "skipped" and (before.check == "builds" or before.check in self._blocked)
        return before.finding if unbuilt else ""

    def _call(self, check: Check) -> tuple[Status, str]:
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


def problems(names: Sequence[str]) -> list[Result]:
    """Return the problems of plugins as failed results of the check `loads`, or a passed one if there is no problem."""
    results = []
    for plugin in {(p.distribution, p.name): p for name in names for p in plugins_of(name)}.values():
        mistakes = [
            p for p in catalogue.current().problems if (p.plugin, p.distribution) == (plugin.name, plugin.distribution)
        ]
        results += [Result(plugin.name, "loads", "failed", f"{p.stage}: {p.message}") for p in mistakes]
        if not mistakes:
            results.append(Result(plugin.name, "loads", "passed"))
    return results


def refuse_unknown(entries: Iterable[Mapping[str, Any]], settings: Settings) -> None:
    """Refuse settings that cannot be used.

    Args:
        entries: Catalogue entries of the components to check.
        settings: The given settings.

    Raises:
        HarnessError: If a component is not checked, or if a setting is unknown or not valid.
    """
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
    """Return the given settings of one component."""
    return settings.get(f"{entry['kind']}/{entry['name']}", {})
