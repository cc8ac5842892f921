"""Arms against data sets, with their means."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from harness.analysis.comparison.model import Arm, Comparison
from harness.analysis.figures.numbers import numbers
from harness.analysis.figures.style import GRID, INK, ROW, WIDTH, blank, label, ranked, rows_axis

ARMS, DATA_SETS = 40, 24
# From white to Okabe and Ito's blue, darker than it at the end: a grey scale in print keeps the order.
_LIGHT, _DARK = (0.965, 0.975, 0.985), (0.0, 0.32, 0.52)


def heatmap(comparison: Comparison) -> Figure | None:
    """Draw the mean of every arm on every data set, shaded within each data set from its worst arm to its best."""
    tables = [table for table in comparison.tables if any(arm.mean is not None for arm in table.arms)][:DATA_SETS]
    if len(tables) < 2:
        return None
    names = ranked(comparison)[:ARMS]
    figure = blank(1.15 + ROW * len(names), min(WIDTH, 2.4 + 0.75 * len(tables)))
    axes = figure.subplots()
    formats = numbers(comparison)
    size = 8 if len(tables) <= 7 else 6.5
    for column, table in enumerate(tables):
        arms = {arm.name: arm for arm in table.arms if arm.mean is not None}
        top = {name for group in table.groups[:1] for name in group}
        for row, name in enumerate(names):
            shade = _shade(arms, name, comparison.metric.higher_is_better)
            mean = arms[name].mean if name in arms else None
            fill = "none" if shade is None else _mix(shade)
            box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=fill, edgecolor=GRID, linewidth=0.5)
            axes.add_patch(box)
            ink = INK if shade is None else "#ffffff" if shade > 0.55 else "#000000"
            weight = "bold" if name in top else "normal"
            value = formats.value(mean)
            axes.text(column, row, value, ha="center", va="center", fontsize=size, weight=weight, color=ink)
    rows_axis(axes, names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(-0.5, len(tables) - 0.5)
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(tables)), [label(table.data, 16) for table in tables], rotation=40, ha="left")
    axes.tick_params(axis="x", length=0, pad=1)
    axes.spines[:].set_visible(False)
    return figure


def _shade(arms: dict[str, Arm], name: str, higher_is_better: bool) -> float | None:
    """Return the place of an arm between the worst, 0, and the best, 1."""
    means = {key: arm.mean for key, arm in arms.items() if arm.mean is not None}
    if name not in means:
        return None
    low, high = min(means.values()), max(means.values())
    share = (means[name] - low) / (high - low) if high > low else 0.0
    return share if higher_is_better else 1 - share


def _mix(share: float) -> tuple[float, float, float]:
    red, green, blue = (a + share * (b - a) for a, b in zip(_LIGHT, _DARK, strict=True))
    return red, green, blue
