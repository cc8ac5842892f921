"""Forest plot of differences: every seed a dot, the interval a line, the margin a band."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from harness.analysis.comparison.model import Comparison, Difference, Table
from harness.analysis.figures.numbers import Numbers, numbers
from harness.analysis.figures.style import (
    BAND,
    GRID,
    INK,
    MUTED,
    PALETTE,
    PANELS,
    ROW,
    all_tables,
    difference_axis,
    grid,
    label,
    ranked,
    rows_axis,
    title,
)

ARMS = 40
# a colour and a marker for each verdict; an open marker is a verdict that is open
VERDICTS = {
    "better": (PALETTE[2], "^", True),
    "worse": (PALETTE[1], "v", True),
    "equal": (PALETTE[0], "s", True),
    "not settled": (MUTED, "o", False),
    "too few": (MUTED, "X", False),
}
_MANY_DOTS = 1500  # from here on they are pixels in a vector format


def forest(comparison: Comparison) -> Figure | None:
    """Draw the difference of every arm to the reference."""
    tables = [table for table in all_tables(comparison) if _differences(table)][:PANELS]
    if not tables:
        return None
    style = numbers(comparison)
    several = len(tables) > 1
    arms = {arm.name for table in tables for arm in table.arms if arm.completed}
    shared = [name for name in ranked(comparison) if name in arms][: ARMS // 2 if several else ARMS]
    columns = 2 if len(tables) in (2, 4) else 3
    figure, panels = grid(len(tables), columns, 0.62 + ROW * len(shared), extra=0.55, sharey=True)
    dots = sum(len(d.pairs) for table in tables for d in _differences(table).values())
    verdicts: set[str] = set()
    for i, (axes, table) in enumerate(zip(panels, tables, strict=True)):
        verdicts |= _panel(axes, table, shared, style, comparison.margin, dots > _MANY_DOTS, 18 if several else 26)
        difference_axis(axes, style, bins=3 if several else 6)
        axes.tick_params(axis="y", labelleft=i % columns == 0)
        if several:
            heading = f"{title(table, 20)}\nagainst {label(table.reference, 13)}"
        else:
            heading = f"{title(table)}, against {label(table.reference)}"
        axes.set_title(heading, fontweight="normal", fontsize=8)
        if not several:
            _write_intervals(axes, table, shared, style)
    word = "ratio" if style.ratio else "difference"
    direction = "higher" if comparison.metric.higher_is_better else "lower"
    figure.supxlabel(f"{word} of {label(comparison.metric.name, 40)} ({direction} is better)", fontsize=8.5)
    handles = _legend(verdicts, comparison.margin, "pair" if several else tables[0].unit)
    figure.legend(handles=handles, loc="outside upper center", ncols=min(5, len(handles)))
    return figure


def _differences(table: Table) -> dict[str, Difference]:
    found = (table.difference(arm.name) for arm in table.arms)
    return {d.arm: d for d in found if d is not None and d.estimate is not None}


def _panel(
    axes: Axes, table: Table, names: list[str], numbers: Numbers, margin: float | None, rasterized: bool, width: int
) -> set[str]:
    """Draw the rows of a table; return the verdicts in it."""
    differences = _differences(table)
    same = 1.0 if numbers.ratio else 0.0
    if margin is not None:
        factor = margin if margin > 1 else 1 + margin
        band = (1 / factor, factor) if numbers.ratio else (-margin, margin)
        axes.axvspan(*band, color=BAND, linewidth=0, zorder=0)
    axes.axvline(same, color=MUTED, linewidth=0.8, zorder=1)
    verdicts: set[str] = set()
    dots: tuple[list[float], list[float]] = ([], [])
    for row, name in enumerate(names):
        axes.axhline(row, color=GRID, linewidth=0.4, zorder=0)
        if name == table.reference:
            axes.plot([same], [row], marker="D", color=INK, markersize=4, linestyle="none", zorder=5)
        if (difference := differences.get(name)) is None or difference.estimate is None:
            continue
        pairs = [value for value in difference.pairs.values() if math.isfinite(value)]
        dots[0].extend(pairs)
        dots[1].extend(row + 0.24 + 0.1 * ((i * 7) % 5 - 2) / 2 for i in range(len(pairs)))
        color, marker, filled = VERDICTS[difference.verdict]
        if difference.low is not None and difference.high is not None:
            open_ended = "--" if difference.decided_by == "sign" else "-"
            axes.plot([difference.low, difference.high], [row, row], open_ended, color=color, linewidth=1.8, zorder=3)
        face = color if filled else axes.figure.get_facecolor()
        axes.plot(
            [difference.estimate], [row], marker=marker, color=color, markerfacecolor=face, markersize=5.5, zorder=4
        )
        verdicts.add(difference.verdict)
    axes.plot(
        *dots, linestyle="none", marker=".", markersize=4.2, markeredgewidth=0, color=INK, alpha=0.5, zorder=2,
        rasterized=rasterized,
    )  # fmt: skip
    rows_axis(axes, names, width)
    return verdicts


def _write_intervals(axes: Axes, table: Table, names: list[str], numbers: Numbers) -> None:
    """Write estimate and interval beside each row."""
    differences = _differences(table)
    for row, name in enumerate(names):
        if name == table.reference:
            text = "baseline"
        elif (d := differences.get(name)) is not None:
            text = numbers.estimate(d)
        else:
            continue
        axes.annotate(text, (1.02, row), xycoords=axes.get_yaxis_transform(), va="center", fontsize=7.5)


def _legend(verdicts: set[str], margin: float | None, dot: str) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D(
            [], [], color=color, marker=marker, markerfacecolor=color if filled else "none", markersize=5, label=name
        )
        for name, (color, marker, filled) in VERDICTS.items()
        if name in verdicts
    ]
    handles.append(Line2D([], [], color=MUTED, marker=".", linestyle="none", markersize=4, label=f"one {dot}"))
    handles.append(Line2D([], [], color=INK, marker="D", linestyle="none", markersize=4, label="reference"))
    if margin is not None:
        handles.append(Patch(color=BAND, label="within the margin"))
    return handles
