"""The runs of the study: how many completed, and where the variance comes from."""

from __future__ import annotations

from collections import Counter

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures.numbers import percent
from harness.analysis.figures.style import (
    GRID,
    INK,
    PALETTE,
    PANELS,
    ROW,
    all_tables,
    blank,
    ranked,
    rows_axis,
    title,
)

ARMS = 40
_STATUS = {  # hatches are lines: in an SVG, dots take a hundred times the space
    "completed": (PALETTE[0], ""),
    "diverged": (PALETTE[1], "////"),
    "failed": (PALETTE[3], "xxxx"),
    "interrupted": (PALETTE[4], "||||"),
    "running": (PALETTE[5], "----"),
    "other": (PALETTE[6], "\\\\\\\\"),
}
_PARTS = ((PALETTE[0], ""), (PALETTE[1], "////"), (PALETTE[6], "||||"), (PALETTE[2], "xxxx"), (PALETTE[4], "----"))


def completion(comparison: Comparison) -> Figure | None:
    """Draw the runs of each arm by their status; nothing if all completed."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in ranked(comparison)}
    for table in comparison.tables:
        for arm in table.arms:
            reasons = Counter[str]()
            for failure in comparison.failures:
                if (failure.arm, failure.data) == (arm.name, table.data):
                    reasons[failure.status if failure.status in _STATUS else "other"] += failure.runs
            rest = arm.runs - arm.completed - reasons.total()
            counts[arm.name].update({"completed": arm.completed, **reasons, "other": reasons["other"] + max(0, rest)})
    present = [status for status in _STATUS if any(count[status] for count in counts.values())]
    if not set(present) - {"completed"}:
        return None
    incomplete = sorted(counts, key=lambda name: -sum(counts[name][s] for s in present if s != "completed"))
    names = [name for name in counts if name in set(incomplete[:ARMS])]
    figure = blank(0.85 + ROW * len(names))
    axes = figure.subplots()
    left = [0] * len(names)
    for status in present:
        color, hatch = _STATUS[status]
        runs = [counts[name][status] for name in names]
        axes.barh(range(len(names)), runs, 0.68, left, color=color, hatch=hatch, linewidth=0, label=status)
        left = [a + b for a, b in zip(left, runs, strict=True)]
    for row, name in enumerate(names):
        text = f"{counts[name]['completed']}/{left[row]}"
        axes.annotate(text, (1.01, row), xycoords=axes.get_yaxis_transform(), va="center", fontsize=7.5)
    rows_axis(axes, names)
    axes.set_xlim(0, max(left))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("runs")
    figure.legend(loc="outside upper center", ncols=len(present))
    return figure


def variance(comparison: Comparison) -> Figure | None:
    """Draw the shares of the variance, a bar for each data set."""
    tables = [table for table in all_tables(comparison) if table.variance][:PANELS]
    if not tables:
        return None
    found = dict.fromkeys(source for table in tables for source in table.variance)
    sources = [*(s for s in found if s not in ("arm", "rest")), *(s for s in ("arm", "rest") if s in found)]
    figure = blank(0.75 + 0.26 * len(tables))
    axes = figure.subplots()
    left = [0.0] * len(tables)
    for i, source in enumerate(sources):
        color, hatch = _PARTS[i % len(_PARTS)]
        shares = [table.variance.get(source, 0.0) for table in tables]
        axes.barh(range(len(tables)), shares, 0.7, left, color=color, hatch=hatch, linewidth=0, label=source)
        for row, share in enumerate(shares):
            if share >= 0.08:
                box = {"facecolor": figure.get_facecolor(), "edgecolor": GRID, "linewidth": 0.5, "pad": 1.5}
                middle = left[row] + share / 2
                axes.text(middle, row, percent(share), ha="center", va="center", fontsize=7.5, color=INK, bbox=box)
        left = [a + b for a, b in zip(left, shares, strict=True)]
    rows_axis(axes, [title(table) for table in tables])
    axes.set_xlim(0, max(1.0, *left))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0%", "25%", "50%", "75%", "100%"])
    figure.legend(loc="outside upper center", ncols=len(sources))
    return figure
