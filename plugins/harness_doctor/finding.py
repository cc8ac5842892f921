"""A finding: a trouble with its evidence, its likely cause, and the overrides to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from harness_doctor.evidence import RunEvidence

ACCUSES = 0.5  # of this confidence or more, a finding is an accusation; below, a hint
SURE = 0.8  # of this or more, it is told at the end of a run


class Evidence(NamedTuple):
    """A number that speaks for a finding, and where it was measured, as far as that is a place."""

    what: str
    value: float
    layer: str = ""
    step: int | None = None

    def __str__(self) -> str:
        where = f" at {self.layer}" if self.layer else ""
        when = f", step {self.step}" if self.step is not None else ""
        return f"{self.what} {self.value:.3g}{where}{when}"

    def row(self) -> dict[str, Any]:
        """As plain data, of what is known."""
        value = self.value if math.isfinite(self.value) else str(self.value)
        row: dict[str, Any] = {"what": self.what, "value": value}
        return row | ({"layer": self.layer} if self.layer else {}) | ({} if self.step is None else {"step": self.step})


@dataclass(frozen=True)
class Finding:
    """`tries` are overrides that go together; none where no override mends it, and `cause` says what would. `outcome`
    tells what a short training with them has come to, where there was one.
    """

    trouble: str
    confidence: float
    evidence: tuple[Evidence, ...]
    cause: str
    tries: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()  # overrides to try where `tries` do not help
    outcome: str = ""  # of a trial of them

    def row(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "trouble": self.trouble,
            "confidence": round(self.confidence, 3),
            "evidence": [one.row() for one in self.evidence],
            "cause": self.cause,
            "try": list(self.tries),
        } | ({"outcome": self.outcome} if self.outcome else {})


Rule = Callable[[RunEvidence], Finding | None]


def between(value: float, low: float, high: float) -> float:
    """How far a value has come from `low` (0) to `high` (1); `high` may be the smaller one.

    >>> between(3, 0, 4), between(9, 0, 4), between(0.1, 0.4, 0.2)
    (0.75, 1.0, 1.0)
    """
    if math.isnan(value):
        return 0.0
    share = (value - low) / (high - low) if math.isfinite(value) else (1.0 if (value > 0) == (high > low) else 0.0)
    return min(1.0, max(0.0, share))


def ranked(findings: Iterable[Finding], explains: dict[str, frozenset[str]]) -> list[Finding]:
    """By confidence, the surest first. What a surer finding explains is a symptom, and stands well behind it."""
    ordered = sorted(findings, key=lambda f: -f.confidence)
    causes: list[Finding] = []
    found: list[Finding] = []
    for finding in sorted(ordered, key=lambda f: -len(explains.get(f.trouble, ()))):
        by = [c for c in causes if finding.trouble in explains.get(c.trouble, ()) and c.confidence >= ACCUSES]
        strongest = max((c.confidence for c in by), default=0.0)
        if strongest:
            finding = replace(finding, confidence=min(finding.confidence, 0.5 * strongest))
        causes.append(finding)
        found.append(finding)
    return sorted(found, key=lambda f: -f.confidence)
