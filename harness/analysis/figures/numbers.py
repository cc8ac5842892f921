"""Typeset numbers for figures and pages: as the report prints them, with the signs − and × in place of - and x."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.comparison.model import Comparison, Difference, Metric
from harness.analysis.report import numbers as plain

MINUS = "\u2212"
NONE = "–"


@dataclass(frozen=True)
class Numbers:
    """Formats of values and differences of a metric."""

    metric: Metric

    @property
    def ratio(self) -> bool:
        """True if arms are compared by their ratio."""
        return self.metric.scale == "ratio"

    def value(self, x: float | None) -> str:
        """Typeset a value of the metric.

        >>> Numbers(Metric("test/accuracy", True, "difference")).value(0.97314)
        '.9731'
        """
        return typeset(plain.score(x, self.metric))

    def difference(self, x: float | None) -> str:
        """Typeset a difference with its sign, or a ratio.

        >>> Numbers(Metric("test/accuracy", True, "difference")).difference(-0.0028)
        '−.0028'
        >>> Numbers(Metric("test/loss", False, "ratio")).difference(1.1559)
        '×1.156'
        """
        return typeset(plain.change(x, self.metric))

    def interval(self, low: float | None, high: float | None) -> str:
        """Typeset the ends of the interval of a difference.

        >>> Numbers(Metric("test/accuracy", True, "difference")).interval(-0.0067, 0.0011)
        '[−.0067, +.0011]'
        """
        return NONE if low is None else typeset(plain.interval(low, low, high, self.metric).partition(" ")[2])

    def estimate(self, d: Difference) -> str:
        """Typeset an estimate with its interval."""
        return typeset(plain.interval(d.estimate, d.low, d.high, self.metric))

    def margin(self, x: float) -> str:
        """Typeset a margin.

        >>> Numbers(Metric("test/accuracy", True, "difference")).margin(0.005)
        '±.005'
        >>> Numbers(Metric("test/loss", False, "ratio")).margin(0.02)
        '×1.02'
        """
        return ("" if self.ratio else "±") + typeset(plain.margin(x, self.metric))

    def floors(self, differences: Sequence[Difference]) -> str:
        """Typeset the range of the smallest differences that a design settles."""
        return typeset(plain.floors(list(differences), self.metric))


def numbers(comparison: Comparison) -> Numbers:
    """Return the formats of the metric that is compared."""
    return Numbers(comparison.metric)


def typeset(text: str) -> str:
    """Replace the signs of a number, or an empty text by a dash.

    >>> typeset("-.0028"), typeset("x0.930 [0.881, 0.982]"), typeset("")
    ('−.0028', '×0.930 [0.881, 0.982]', '–')
    """
    return re.sub(r"\bx(?=\d)", "×", text).replace("-", MINUS) or NONE


def probability(p: float | None) -> str:
    """Typeset a p-value or an error rate."""
    return typeset(plain.probability(p))


def percent(share: float | None) -> str:
    """Typeset a share as a whole percentage."""
    return typeset(plain.percent(share))


def seconds(x: float | None) -> str:
    """Typeset a duration in seconds."""
    return typeset(plain.seconds(x))


def fixed(x: float, decimals: int, bare: bool = False) -> str:
    """Typeset a number with a fixed number of decimals.

    Args:
        x: The number.
        decimals: Number of decimals.
        bare: True to leave out the zero before the point.

    >>> fixed(0.22, 2), fixed(0.0289, 4, bare=True), fixed(-0.00001, 2), fixed(123456, 0)
    ('0.22', '.0289', '0.00', '123,456')
    """
    if abs(x) >= 1e9:
        return typeset(f"{x:.3g}")
    text = f"{abs(x):,.{decimals}f}"
    sign = MINUS if x < 0 and float(text.replace(",", "")) else ""
    return sign + (text[1:] if bare and text.startswith("0.") else text)
