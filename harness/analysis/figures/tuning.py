"""Tuning curves: the best score on validation against the number of trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.analysis.comparison.model import BudgetCurve, Comparison, Tuned
from harness.analysis.figures.curves import ARMS, legend, legend_height
from harness.analysis.figures.style import ArmStyle, arm_styles, grid, label, log_axis, ranked, styles, value_axis
from harness.analysis.report.tuning import budgets_of

PANELS = 12
FILLED = 2  # most arms whose bands are drawn as areas; the bands of more arms are lines side by side
DODGE = 0.5  # of the distance of two budgets, the width that these lines share
START = 2  # trials; values at fewer may lie outside of the range of values, which they would flatten
ROOM = 0.08  # of the range of values, above and below


def tuning(comparison: Comparison) -> Figure | None:
    """Draw the tuning curves of the best arms, a panel for each data set."""
    tuned = [t for t in comparison.tuning.contestants if t.curve is not None and len(t.curve.budgets) > 1]
    data = list(dict.fromkeys(t.data for t in tuned))[:PANELS]
    if not data:
        return None
    ranking = ranked(comparison)
    arms = {t.arm for t in tuned}
    known = arms <= set(ranking)
    names = (
        [name for name in ranking if name in arms][:ARMS] if known else list(dict.fromkeys(t.arm for t in tuned))[:ARMS]
    )
    every = arm_styles(comparison) if known else styles(names)
    look = {name: every[name] for name in names}
    columns = len(data) if len(data) < 3 else 2 if len(data) == 4 else 3
    figure, panels = grid(len(data), columns, 3.0 if columns < 3 else 2.3, extra=legend_height(names))
    for axes, name in zip(panels, data, strict=True):
        chosen = {t.arm: t for t in tuned if t.data == name}
        _panel(axes, [chosen[arm] for arm in names if arm in chosen], look)
        axes.set_title(label(name, 22), fontweight="normal")
    figure.supxlabel("trials", fontsize=8.5)
    figure.supylabel(label(f"best {tuned[0].metric.name}", 40), fontsize=8.5)
    legend(figure, look)
    return figure


def _panel(axes: Axes, shown: Sequence[Tuned], look: dict[str, ArmStyle]) -> None:
    curves = {t.arm: t.curve for t in shown if t.curve is not None}
    low, high = _range(list(curves.values()))
    far = 10 * (high - low)
    for place, (arm, curve) in enumerate(curves.items()):
        style = look[arm]
        shown_at = _marked(len(curve.budgets))
        marks = [budget - 1 for budget in shown_at]
        if len(curve.low):
            lower, upper = (np.clip(edge, low - far, high + far) for edge in (curve.low, curve.high))
            if len(curves) <= FILLED:
                axes.fill_between(curve.budgets, lower, upper, color=style.color, alpha=0.16, linewidth=0)
            else:
                shift = 2 ** (DODGE * (place - (len(curves) - 1) / 2) / len(curves))
                x = [budget * shift for budget in shown_at]
                axes.vlines(x, lower[marks], upper[marks], color=style.color, linewidth=0.8, alpha=0.5)
        axes.plot(
            curve.budgets, curve.score, color=style.color, marker=style.marker, linestyle=style.line, markevery=marks
        )
    axes.set_ylim(low, high)
    log_axis(axes.xaxis, _powers(max(len(curve.budgets) for curve in curves.values())))
    axes.grid(axis="y")
    value_axis(axes.yaxis, bare=shown[0].metric.scale != "ratio", bins=5)


def _marked(longest: int) -> list[int]:
    """Return the budgets of markers: the last one, and powers of two that are not close to it.

    >>> _marked(20), _marked(50), _marked(1)
    ([1, 2, 4, 8, 20], [1, 2, 4, 8, 16, 32, 50], [1])
    """
    *powers, last = budgets_of(longest)
    return [*(budget for budget in powers if budget * 1.4 < last), last]


def _powers(longest: int) -> list[int]:
    """Return the powers of two up to a budget.

    >>> _powers(20)
    [1, 2, 4, 8, 16]
    """
    return [2**i for i in range(longest.bit_length()) if 2**i <= longest]


def _range(curves: Sequence[BudgetCurve]) -> tuple[float, float]:
    """Return the range of values to show: that of the curves without their start, and the bands where they are near."""
    start = min(START, *(len(curve.budgets) for curve in curves)) - 1
    scores = np.array([x for curve in curves for x in curve.score[start:] if math.isfinite(x)] or [0.0])
    spread = float(np.ptp(scores)) or 0.1 * abs(float(scores[0])) or 1.0
    ends = [x for curve in curves for edge in (curve.low, curve.high) for x in edge if math.isfinite(x)]
    near = [x for x in ends if scores.min() - spread / 2 <= x <= scores.max() + spread / 2]
    every = np.array([*scores, *near])
    room = ROOM * (float(np.ptp(every)) or spread)
    return float(every.min()) - room, float(every.max()) + room
