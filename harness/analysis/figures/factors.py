"""Main effects and interactions of the factors."""

from __future__ import annotations

from itertools import combinations
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.analysis.comparison.model import Comparison, Effect, Table
from harness.analysis.figures.forest import VERDICTS
from harness.analysis.figures.numbers import numbers
from harness.analysis.figures.style import (
    GRID,
    MUTED,
    PANELS,
    ROW,
    difference_axis,
    grid,
    label,
    rows_axis,
    styles,
    thinned,
    value_axis,
)

EFFECTS = 30
LEVELS = 8


def effect_name(effect: Effect, ratio: bool = False) -> str:
    """Return an effect in words, as a contrast of levels; a level that is a number is named with its setting.

    >>> effect_name(Effect("digits", ("activation",), ("tanh", "relu"), 10, 0.01, 0.0, 0.02, 0.05, "not settled"))
    'tanh − relu'
    >>> effect_name(Effect("digits", ("optimizer.lr",), ("0.1", "0.01"), 9, 1.2, 1.1, 1.4, 0.01, "settled"), True)
    'lr 0.1 / lr 0.01'
    """
    sign = " / " if ratio else " − "
    of = [effect.factors[i // 2] for i in range(len(effect.levels))]
    levels = [_named(level, key) for level, key in zip(effect.levels, of, strict=True)]
    contrasts = [sign.join(levels[i : i + 2]) for i in range(0, len(levels), 2)]
    return contrasts[0] if len(contrasts) == 1 else " × ".join(f"({contrast})" for contrast in contrasts)


def _named(level: str, key: str) -> str:
    number = level.replace(".", "").replace("-", "").replace("e", "").isdigit() or level in ("True", "False", "None")
    return f"{key.rpartition('.')[2]} {level}" if number else level


def effects(comparison: Comparison) -> Figure | None:
    """Draw the main effects and interactions with their intervals, a panel for each data set."""
    data = list(dict.fromkeys(effect.data for effect in comparison.effects))[:PANELS]
    if not data:
        return None
    formats = numbers(comparison)
    shown = {name: [e for e in comparison.effects if e.data == name][:EFFECTS] for name in data}
    longest = max(map(len, shown.values()))
    figure, panels = grid(len(data), 1 if len(data) < 3 else 2, 0.6 + ROW * longest, extra=0.3)
    for axes, name in zip(panels, data, strict=True):
        axes.axvline(1.0 if formats.ratio else 0.0, color=MUTED, linewidth=0.8)
        for row, effect in enumerate(shown[name]):
            color, marker, filled = VERDICTS["equal" if effect.verdict == "settled" else "not settled"]
            marker = "D" if len(effect.factors) > 1 else marker
            axes.axhline(row, color=GRID, linewidth=0.4, zorder=0)
            axes.plot([effect.low, effect.high], [row, row], color=color, linewidth=1.8)
            face = color if filled else axes.figure.get_facecolor()
            axes.plot([effect.estimate], [row], marker=marker, color=color, markerfacecolor=face, markersize=5.5)
        rows_axis(axes, [effect_name(effect, formats.ratio) for effect in shown[name]], 42 if len(data) < 3 else 26)
        difference_axis(axes, formats, bins=6 if len(data) < 3 else 3)
        axes.set_title(label(name), fontweight="normal")
    word = "ratio" if formats.ratio else "effect"
    figure.supxlabel(
        f"{word} in {label(comparison.metric.name, 40)}; filled if settled, diamond if interaction", fontsize=8.5
    )
    return figure


def interactions(comparison: Comparison) -> Figure | None:
    """Draw the means over the levels of one factor, with a line for each level of another."""
    if len(comparison.factors) < 2:
        return None

    def levels(key: str) -> int:
        return len(comparison.factors[key])

    panels = [
        (table, max(pair, key=levels), min(reversed(pair), key=levels))
        for table in comparison.tables
        for pair in combinations(comparison.factors, 2)
        if all(len(comparison.factors[key]) > 1 for key in pair) and _has_cells(table, pair)
    ][:6]
    if not panels:
        return None
    figure, axes_list = grid(len(panels), 2, 2.5)
    for axes, (table, across, lines) in zip(axes_list, panels, strict=True):
        _panel(axes, comparison, table, across, lines)
        axes.set_title(label(table.data), fontweight="normal")
    return figure


def _has_cells(table: Table, pair: tuple[str, ...]) -> bool:
    return sum(arm.mean is not None and all(key in arm.levels for key in pair) for arm in table.arms) > 1


def _panel(axes: Axes, comparison: Comparison, table: Table, across: str, lines: str) -> None:
    levels = list(comparison.factors[across])
    others = list(comparison.factors[lines])[:LEVELS]
    look = styles([str(level) for level in others])
    for i, other in enumerate(others):
        cells = [(x, _cell(table, {across: level, lines: other})) for x, level in enumerate(levels)]
        points = [(x + 0.06 * (i - (len(others) - 1) / 2) / max(1, len(others) / 3), cell) for x, cell in cells if cell]
        if not points:
            continue
        style = look[str(other)]
        for x, (_, low, high) in points:
            if low is not None and high is not None:
                axes.plot([x, x], [low, high], color=style.color, linewidth=1)
        axes.plot(
            [x for x, _ in points], [cell[0] for _, cell in points], color=style.color, marker=style.marker,
            linestyle=style.line, label=label(other, 18),
        )  # fmt: skip
    ticks = thinned(range(len(levels)), 8)
    crowded = len(ticks) > 4 or max(len(str(level)) for level in levels) > 10
    turned: dict[str, Any] = {"rotation": 30, "ha": "right"} if crowded else {}
    axes.set_xticks(ticks, [label(levels[int(i)], 14) for i in ticks], **turned)
    axes.set_xlim(-0.4, len(levels) - 0.6)
    axes.set_xlabel(label(across))
    axes.set_ylabel(label(comparison.metric.name))
    axes.grid(axis="y")
    value_axis(axes.yaxis, not numbers(comparison).ratio)
    axes.legend(title=label(lines, 22), title_fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _cell(table: Table, levels: dict[str, Any]) -> tuple[float, float | None, float | None] | None:
    """Return the mean of the arms with these levels, and its interval if it is one arm."""
    arms = [
        arm for arm in table.arms if arm.mean is not None and all(arm.levels.get(k) == v for k, v in levels.items())
    ]
    if not arms:
        return None
    if len(arms) == 1 and arms[0].low is not None:
        return arms[0].mean or 0.0, arms[0].low, arms[0].high
    return fmean(arm.mean for arm in arms if arm.mean is not None), None, None
