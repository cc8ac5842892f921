"""Format the numbers of a comparison as papers print them: `.9731`, `+.0011`, `1.16×`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import floor, isfinite, log10

from harness.analysis.comparison.model import Comparison

MINUS = "\u2212"
NONE = "–"


@dataclass(frozen=True)
class Numbers:
    """Formats of one metric.

    Attributes:
        decimals: Decimals of a value and of a difference.
        share: True for values of at most 1, which are printed without the zero before the point.
        ratio: True if arms are compared by their ratio.
    """

    decimals: int
    share: bool = False
    ratio: bool = False

    def value(self, x: float | None) -> str:
        """Format a value of the metric.

        >>> Numbers(4, share=True).value(0.97314)
        '.9731'
        >>> Numbers(2).value(-12.345)
        '−12.35'
        """
        return fixed(x, self.decimals, self.share)

    def difference(self, x: float | None) -> str:
        """Format a difference with its sign, or a ratio.

        >>> Numbers(4, share=True).difference(0.0011), Numbers(4, share=True).difference(-0.0028)
        ('+.0011', '−.0028')
        >>> Numbers(3, ratio=True).difference(1.1559)
        '×1.156'
        """
        if x is None or not isfinite(x):
            return NONE
        if self.ratio:
            return f"×{fixed(x, 3)}" if 0.01 <= x < 1000 else f"×{x:.2g}"
        text = fixed(x, self.decimals, self.share)
        return text if text.startswith(MINUS) or not float(text) else f"+{text}"

    def interval(self, low: float | None, high: float | None) -> str:
        """Format the ends of an interval of a difference.

        >>> Numbers(4, share=True).interval(-0.0067, 0.0011)
        '[−.0067, +.0011]'
        """
        if low is None or high is None:
            return NONE
        if self.ratio:
            return f"[{self.difference(low)[1:]}, {self.difference(high)[1:]}]"
        return f"[{self.difference(low)}, {self.difference(high)}]"

    def size(self, x: float | None) -> str:
        """Format the size of a difference, without a sign: a margin, a floor or a half-width."""
        return self.difference(x) if self.ratio else fixed(x, self.decimals, self.share)


def numbers(comparison: Comparison) -> Numbers:
    """Return the formats that suit the metric: shares have four decimals, others as many as their spread needs."""
    metric = comparison.metric
    if metric.share:
        return Numbers(4, share=True, ratio=metric.scale == "ratio")
    arms = [arm for table in comparison.tables for arm in table.arms]
    spreads = [arm.sd for arm in arms if arm.sd] or [abs(arm.mean) / 100 for arm in arms if arm.mean]
    spread = min(spreads, default=1.0)
    decimals = min(8, max(0, 1 - floor(log10(spread)))) if isfinite(spread) and spread > 0 else 4
    return Numbers(decimals, ratio=metric.scale == "ratio")


def fixed(x: float | None, decimals: int, share: bool = False) -> str:
    """Format a number with a fixed number of decimals and a real minus sign.

    >>> fixed(0.22, 2), fixed(0.0289, 4, share=True), fixed(-0.00001, 2), fixed(None, 2), fixed(123456, 0)
    ('0.22', '.0289', '0.00', '–', '123,456')
    """
    if x is None or not isfinite(x):
        return NONE
    if abs(x) >= 1e9:
        return f"{x:.3g}".replace("-", MINUS)
    text = f"{abs(x):,.{decimals}f}"
    sign = MINUS if x < 0 and float(text.replace(",", "")) else ""
    if share and text.startswith("0."):
        text = text[1:]
    return sign + text


def percent(x: float | None) -> str:
    """Format a share as a whole percentage.

    >>> percent(0.2), percent(0.004), percent(0)
    ('20%', '<1%', '0%')
    """
    if x is None or not isfinite(x):
        return NONE
    return "<1%" if 0 < x < 0.01 else f"{100 * x:.0f}%"


def p_value(p: float | None) -> str:
    """Format a p-value.

    >>> p_value(0.0312), p_value(0.00001), p_value(1)
    ('.031', '<.001', '1.000')
    """
    if p is None or not isfinite(p):
        return NONE
    return "<.001" if p < 0.001 else fixed(p, 3, share=True)


def seconds(x: float | None) -> str:
    """Format a duration.

    >>> seconds(0.224), seconds(41.2), seconds(4000)
    ('0.22', '41', '4,000')
    """
    return fixed(x, 0 if x is not None and x >= 10 else 2)


def span(values: Iterable[float | None], size: Numbers) -> str:
    """Format the range of sizes, for example of the floors of a table.

    >>> span([0.0102, None, 0.0052], Numbers(4, share=True))
    '.0052 to .0102'
    """
    known = sorted({size.size(value) for value in sorted(v for v in values if v is not None)})
    if not known:
        return NONE
    return known[0] if len(known) == 1 else f"{known[0]} to {known[-1]}"
