"""Format the numbers of a comparison for a reader: shares as .9731, differences as +.0011, ratios as x0.930."""

from __future__ import annotations

import re

from harness.analysis.comparison.model import Difference, Metric

_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def score(value: float | None, metric: Metric) -> str:
    """Format a value of the metric; a value compared by ratios has four significant digits.

    >>> accuracy = Metric("test/accuracy", higher_is_better=True, scale="difference", share=True)
    >>> score(0.97314, accuracy), score(1.0, accuracy), score(None, accuracy)
    ('.9731', '1.0000', '')
    >>> loss = Metric("test/loss", higher_is_better=False, scale="ratio")
    >>> score(0.12, loss), score(12.3456, loss), score(4321.4, loss)
    ('0.1200', '12.35', '4321')
    """
    if value is None:
        return ""
    return significant(value) if metric.scale == "ratio" else _without_zero(f"{value:.{_decimals(value)}f}")


def change(value: float | None, metric: Metric) -> str:
    """Format a difference of two arms with its sign, or their ratio.

    >>> change(-0.0028, Metric("test/accuracy", True, "difference")), change(0.93, Metric("test/loss", False, "ratio"))
    ('-.0028', 'x0.930')
    """
    if value is None:
        return ""
    return f"x{_ratio(value)}" if metric.scale == "ratio" else _signed(value, _decimals(value))


def interval(estimate: float | None, low: float | None, high: float | None, metric: Metric) -> str:
    """Format an estimate of a difference or a ratio with its interval.

    >>> interval(-0.0028, -0.0067, 0.0011, Metric("test/accuracy", True, "difference"))
    '-.0028 [-.0067, +.0011]'
    >>> interval(12.5, 9.25, 15.75, Metric("test/score", True, "difference"))
    '+12.50 [+9.25, +15.75]'
    >>> interval(0.93, 0.881, 0.982, Metric("test/loss", False, "ratio"))
    'x0.930 [0.881, 0.982]'
    >>> interval(0.01, None, None, Metric("test/accuracy", True, "difference"))
    '+.0100'
    """
    if estimate is None or low is None or high is None:
        return change(estimate, metric)
    if metric.scale == "ratio":
        return f"x{_ratio(estimate)} [{_ratio(low)}, {_ratio(high)}]"
    decimals = _decimals(estimate, low, high)
    return f"{_signed(estimate, decimals)} [{_signed(low, decimals)}, {_signed(high, decimals)}]"


def mean_interval(low: float | None, high: float | None, metric: Metric) -> str:
    """Format the interval of a mean.

    >>> mean_interval(0.9701, 0.9765, Metric("test/accuracy", True, "difference"))
    '[.9701, .9765]'
    """
    return "" if low is None or high is None else f"[{score(low, metric)}, {score(high, metric)}]"


def floors(differences: list[Difference], metric: Metric) -> str:
    """Format the range of the smallest differences that a design settles in 8 of 10 studies, or return "".

    >>> d = Difference("b", "a", 10, 0.0, -0.1, 0.1, 0.1, 0.5, 0.03, 0.97, 0.5, "not settled", floor=0.0052)
    >>> floors([d], Metric("test/accuracy", True, "difference"))
    '.0052'
    """
    known = [d.floor for d in differences if d.floor is not None]
    if not known:
        return ""
    shown = [
        f"x{_ratio(floor)}" if metric.scale == "ratio" else _without_zero(f"{floor:.{_decimals(floor)}f}")
        for floor in (min(known), max(known))
    ]
    return " to ".join(dict.fromkeys(shown))


def probability(value: float | None) -> str:
    """Format a p-value or an error rate.

    >>> probability(0.02887), probability(0.00001), probability(1.0), probability(None)
    ('.0289', '<.0001', '1.0000', '')
    """
    if value is None:
        return ""
    return "<.0001" if value < 0.00005 else _without_zero(f"{value:.4f}")


def percent(share: float | None) -> str:
    """Format a share in percent.

    >>> percent(0.2), percent(None)
    ('20%', '')
    """
    return "" if share is None else f"{100 * share:.0f}%"


def seconds(value: float | None) -> str:
    """Format a duration in seconds.

    >>> seconds(0.2214), seconds(8100.4), seconds(None)
    ('0.22', '8,100', '')
    """
    if value is None:
        return ""
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def margin(value: float, metric: Metric) -> str:
    """Format a margin as typed; for a ratio, 1.02 and 0.02 are the same margin.

    >>> margin(0.005, Metric("test/accuracy", True, "difference")), margin(0.02, Metric("test/loss", False, "ratio"))
    ('.005', 'x1.02')
    """
    if metric.scale == "ratio":
        return f"x{value if value > 1 else 1 + value:g}"
    return _without_zero(f"{value:g}")


def significant(value: float) -> str:
    """Format a number with four significant digits, also if the last ones are zeros.

    >>> significant(0.5), significant(0.0000123456)
    ('0.5000', '1.235e-05')
    """
    return f"{value:#.4g}".removesuffix(".")


def ordinal(number: int) -> str:
    """Return the word for a position.

    >>> ordinal(1), ordinal(11), ordinal(22)
    ('first', '11th', '22nd')
    """
    if 0 < number <= len(_ORDINALS):
        return _ORDINALS[number - 1]
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "seed"), count(10, "data set")
    ('1 seed', '10 data sets')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _decimals(*values: float) -> int:
    """Return how many decimals numbers that are shown together have."""
    size = max(abs(value) for value in values)
    return 4 if size < 10 else max(0, 4 - len(f"{size:.0f}"))


def _signed(value: float, decimals: int) -> str:
    return _without_zero(f"{value:+.{decimals}f}" if value else f"{0:.{decimals}f}")


def _ratio(value: float) -> str:
    return f"{value:.3f}" if 0.1 <= value < 10 else f"{value:#.3g}".removesuffix(".")


def _without_zero(text: str) -> str:
    return re.sub(r"^([-+]?)0\.", r"\1.", text)
