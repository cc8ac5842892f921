"""Cost against quality, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.analysis.comparison.model import Arm, Comparison
from harness.analysis.figures.numbers import numbers
from harness.analysis.figures.style import (
    MUTED,
    arm_styles,
    grid,
    label,
    log_axis,
    main_tables,
    title,
    value_axis,
)

LABELS = 10
_MEASURES: dict[Callable[[Arm], float | None], str] = {
    (lambda arm: arm.seconds): "seconds for a run",
    (lambda arm: arm.parameters): "parameters",
}


def cost(comparison: Comparison) -> Figure | None:
    """Draw the mean of each arm against its seconds for a run, else against its number of parameters."""
    tables = list(main_tables(comparison))[:3]
    points: list[list[tuple[float, Arm]]]
    for measure in _MEASURES:
        points = [[(c, arm) for arm in t.arms if (c := measure(arm)) and arm.mean is not None] for t in tables]
        if points and all(len({c for c, _ in of_table}) > 1 for of_table in points):
            break
    else:
        return None
    figure, panels = grid(len(tables), 1, 3.0)
    for axes, table, of_table in zip(panels, tables, points, strict=True):
        _panel(axes, comparison, of_table, over_data=table.data is None)
        axes.set_title(title(table), fontweight="normal")
        axes.set_ylabel(label(comparison.metric.name, 34))
    panels[-1].set_xlabel(_MEASURES[measure])
    return figure


def pareto(points: Sequence[tuple[float, float]], higher_is_better: bool) -> list[int]:
    """Return the indices of the points that no other point beats in both, the cheapest first.

    Args:
        points: Cost, of which less is better, and quality.
        higher_is_better: The direction of quality.

    >>> pareto([(1.0, 0.8), (2.0, 0.9), (3.0, 0.85), (2.0, 0.7)], higher_is_better=True)
    [0, 1]
    """
    sign = -1 if higher_is_better else 1
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], sign * points[i][1])):
        if not front or sign * points[i][1] < sign * points[front[-1]][1]:
            front.append(i)
    return front


def _panel(axes: Axes, comparison: Comparison, points: Sequence[tuple[float, Arm]], over_data: bool) -> None:
    look = arm_styles(comparison)
    higher = comparison.metric.higher_is_better
    front = pareto([(c, arm.mean or 0.0) for c, arm in points], higher)
    steps = [(points[i][0], points[i][1].mean or 0.0) for i in front]
    axes.step([x for x, _ in steps], [y for _, y in steps], where="post", color=MUTED, linewidth=1, zorder=1)
    for i, (c, arm) in enumerate(points):
        style = look[arm.name]
        if arm.low is not None and arm.high is not None and not over_data:
            axes.plot([c, c], [arm.low, arm.high], color=style.color, linewidth=0.9, alpha=0.6, zorder=2)
        face = style.color if i in front else axes.figure.get_facecolor()
        axes.plot(
            [c], [arm.mean or 0.0], color=style.color, marker=style.marker, markerfacecolor=face, markersize=6, zorder=3
        )
    axes.grid()
    value_axis(axes.yaxis, not numbers(comparison).ratio)
    costs = [c for c, _ in points]
    if max(costs) / min(costs) >= 20:
        decades = range(math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs))) + 1)
        log_axis(axes.xaxis, [10.0**decade for decade in decades])
    else:
        value_axis(axes.xaxis, bare=False)
    _write_names(axes, points, front)


def _write_names(axes: Axes, points: Sequence[tuple[float, Arm]], front: Sequence[int]) -> None:
    """Write names at the right edge, spread such that none covers another, each with a line to its point."""
    others = [i for i in range(len(points)) if i not in front]
    chosen = [*front, *others][:LABELS]
    low, high = axes.get_ylim()
    places = {i: ((points[i][1].mean or 0.0) - low) / (high - low) for i in chosen}
    order = sorted(chosen, key=lambda i: places[i])
    heights = spread([places[i] for i in order], gap=min(0.085, 1 / max(1, len(order))))
    for i, height in zip(order, heights, strict=True):
        c, arm = points[i]
        axes.annotate(
            label(arm.name, 22), (c, arm.mean or 0.0), (1.04, height), textcoords=axes.transAxes, va="center",
            fontsize=7.5, weight="bold" if i in front else "normal", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkB": 4, "relpos": (0, 0.5)},
        )  # fmt: skip


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Return places in [0, 1] in the same order that are at least `gap` apart, and near the given ones.

    >>> [round(x, 2) for x in spread([0.5, 0.5, 0.9], gap=0.1)]
    [0.45, 0.55, 0.9]
    """
    blocks: list[list[float]] = []  # sums of the starts that their members ask for, and numbers of members
    for place in places:
        blocks.append([place, 1])
        while len(blocks) > 1 and _start(blocks[-2]) + gap * blocks[-2][1] > _start(blocks[-1]):
            total, count = blocks.pop()
            blocks[-1][0] += total - gap * blocks[-1][1] * count
            blocks[-1][1] += count
    heights = [_start(block) + gap * i for block in blocks for i in range(int(block[1]))]
    for i in range(len(heights)):
        heights[i] = max(heights[i], gap * i)
    for i in range(len(heights)):
        heights[-1 - i] = min(heights[-1 - i], 1 - gap * i)
    return heights


def _start(block: Sequence[float]) -> float:
    return block[0] / block[1]
