"""Findings: a trouble with its evidence, its likely cause, and overrides to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from harness_doctor.evidence import RunEvidence

ACCUSES = 0.5  # confidence from which a finding is stated; below it is a hint
SURE = 0.8  # confidence from which a finding is printed at the end of a run


class Evidence(NamedTuple):
    """A number that supports a finding, with the layer and step where it was measured, if any."""

    what: str
    value: float
    layer: str = ""
    step: int | None = None

    def __str__(self) -> str:
        where = f" at {self.layer}" if self.layer else ""
        when = f", step {self.step}" if self.step is not None else ""
        return f"{self.what} {self.value:.3g}{where}{when}"

    def row(self) -> dict[str, Any]:
        """Return the known fields as plain data."""
        value = self.value if math.isfinite(self.value) else str(self.value)
        row: dict[str, Any] = {"what": self.what, "value": value}
        return row | ({"layer": self.layer} if self.layer else {}) | ({} if self.step is None else {"step": self.step})


@dataclass(frozen=True)
class Finding:
    """A trouble of a run.

    `tries` are overrides to set together; empty if none helps, and `cause` then says what would. `outcome` is the
    result of a short training with them, if there was one.
    """

    trouble: str
    confidence: float
    evidence: tuple[Evidence, ...]
    cause: str
    tries: tuple[str, ...] = ()
    others: tuple[tuple[str, ...], ...] = ()  # overrides to try where `tries` do not help
    outcome: str = ""  # of a trial of them

    def row(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {
            "trouble": self.trouble,
            "confidence": round(self.confidence, 3),
            "evidence": [one.row() for one in self.evidence],
            "cause": self.cause,
            "try": list(self.tries),
        } | ({"outcome": self.outcome} if self.outcome else {})


Rule = Callable[[RunEvidence], Finding | None]


def between(value: float, low: float, high: float) -> float:
    """Return the position of a value between `low` (0) and `high` (1), which may be the smaller one.

    >>> between(3, 0, 4), between(9, 0, 4), between(0.1, 0.4, 0.2)
    (0.75, 1.0, 1.0)
    """
    if math.isnan(value):
        return 0.0
    share = (value - low) / (high - low) if math.isfinite(value) else (1.0 if (value > 0) == (high > low) else 0.0)
    return min(1.0, max(0.0, share))


def ranked(findings: Iterable[Finding], explains: dict[str, frozenset[str]]) -> list[Finding]:
    """Sort by confidence, and lower the confidence of symptoms that a more confident finding explains."""
    ordered = sorted(findings, key=lambda f: -f.confidence)
    causes: list[Finding] = []
    adjusted: list[Finding] = []
    for finding in sorted(ordered, key=lambda f: -len(explains.get(f.trouble, ()))):
        by = [c for c in causes if finding.trouble in explains.get(c.trouble, ()) and c.confidence >= ACCUSES]
        strongest = max((c.confidence for c in by), default=0.0)
        if strongest:
            finding = replace(finding, confidence=min(finding.confidence, 0.5 * strongest))
        causes.append(finding)
        adjusted.append(finding)
    return sorted(adjusted, key=lambda f: -f.confidence)
