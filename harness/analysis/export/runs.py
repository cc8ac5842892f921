"""Export runs to another tool, from records and curves. Each run is written once, also after a crash."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from harness.results.curves import read_curves
from harness.results.record import Record, flat
from harness.results.run_id import changes_result
from harness.system.errors import HarnessError
from harness.system.spinner import Spinner


@dataclass(frozen=True)
class Run:
    """A run as other tools take it.

    Attributes:
        record: Its record.
        key: ID in the other tool: the run ID and a digest of the record, so that a run trained again is another one.
    """

    record: Record
    key: str

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that change the result, flat; list kinds are lists of names."""
        lists = {kind: names for kind, names in self.record.choices.items() if isinstance(names, list)}
        return lists | {key: value for key, value in flat(self.record.config).items() if changes_result(key)}

    @property
    def about(self) -> dict[str, Any]:
        """What the record says of the run apart from its settings and results."""
        keys = ("id", "study", "status", "command", "environment")
        return {key: getattr(self.record, key) for key in keys}

    @property
    def started(self) -> datetime:
        """The time at which it started; the beginning of 1970 if the record does not say."""
        try:
            return datetime.fromisoformat(self.record.time["started"]).astimezone(UTC)
        except (KeyError, ValueError):
            return datetime.fromtimestamp(0, UTC)

    @property
    def seconds(self) -> float:
        return float(self.record.time.get("total_s") or 0.0)

    def curves(self) -> list[tuple[int, dict[str, float]]]:
        """Return (step, values by metric) of its curves, in the order of the steps."""
        steps: dict[int, dict[str, float]] = {}
        for step, _, metric, value in read_curves(self.record):
            steps.setdefault(step, {})[metric] = value
        return sorted(steps.items())

    def rows(self) -> list[tuple[int, dict[str, float]]]:
        """Return the curves with the results, which are the last value of each metric.

        The results are part of the last row, unless its values differ: a regularizer may have restored other weights.
        """
        rows, results = self.curves(), dict(self.record.metrics)
        last = max(self.record.steps.get("made", 0), rows[-1][0] if rows else 0)
        step, values = rows[-1] if rows else (-1, {})
        if step == last and all(repr(values.get(name, x)) == repr(x) for name, x in results.items()):
            return [*rows[:-1], (step, values | results)]
        return [*rows, (last if step < last else last + 1, results)]


class Tool(Protocol):
    """Another tool that runs are written to."""

    def keys(self) -> set[str]:
        """Return the keys of the runs that it has whole; remove those that a crash has left in part."""

    def add(self, run: Run) -> None:
        """Write a run. Until this returns, `keys` does not name it."""


@dataclass
class Counts:
    """Numbers of runs: written, there already, and left out since they have not ended."""

    added: int = 0
    there: int = 0
    unfinished: int = 0

    def __str__(self) -> str:
        parts = [f"{self.added} runs added"]
        parts += [f"{self.there} there already"] if self.there else []
        parts += [f"{self.unfinished} left out that have not ended"] if self.unfinished else []
        return ", ".join(parts)


def export(records: Sequence[Record], tool: Tool, name: str) -> Counts:
    """Write runs to a tool that it does not have yet.

    Args:
        records: The records.
        tool: The tool.
        name: Its name, for the terminal.
    """
    counts = Counts()
    with Spinner(f"exporting {len(records)} runs to {name}"):
        known = tool.keys()
        for run in _runs(records):
            if run.record.status == "running":
                counts.unfinished += 1
            elif run.key in known:
                counts.there += 1
            else:
                tool.add(run)
                counts.added += 1
    return counts


def _runs(records: Sequence[Record]) -> Iterator[Run]:
    for record in records:
        digest = hashlib.sha256(record.to_json(None).encode(errors="surrogatepass")).hexdigest()
        yield Run(record, f"{record.id}-{digest[:8]}")


def project(study: str, allowed: str = r"\w.-") -> str:
    """Return the name of a study with each other character replaced by `-`.

    >>> project("papers/first study")
    'papers-first-study'
    """
    return re.sub(rf"[^{allowed}]", "-", study)[:100] or "study"


def load_tool(module: str, package: str, extra: str) -> Any:
    """Import the module of an optional package.

    Raises:
        HarnessError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = str(error.name).partition(".")[0] if isinstance(error, ModuleNotFoundError) else package
        raise HarnessError(f"--to {extra} needs {missing}: pip install 'dl-harness[{extra}]'") from error
