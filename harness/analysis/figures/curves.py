"""Lines with bands: learning curves, and the metric against a numeric setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from harness.analysis.comparison.model import Comparison, Curve, Sensitivity
from harness.analysis.figures.numbers import numbers
from harness.analysis.figures.style import (
    ArmStyle,
    arm_styles,
    grid,
    label,
    log_axis,
    ranked,
    styles,
    thinned,
    value_axis,
)

ARMS = 8  # lines that can be told apart
PANELS = 6


def curves(comparison: Comparison) -> Figure | None:
    """Draw the mean learning curves of the best arms, a panel for each data set."""
    ranking = ranked(comparison)
    drawable = [curve for curve in comparison.curves if len(curve.epochs) and curve.arm in ranking]
    data = list(dict.fromkeys(curve.data for curve in drawable))[:PANELS]
    if not data:
        return None
    present = {curve.arm for curve in drawable}
    names = [name for name in ranking if name in present][:ARMS]
    every = arm_styles(comparison)
    look = {name: every[name] for name in names}
    figure, panels = grid(
        len(data), 2 if len(data) in (2, 4) else 3, 2.6 if len(data) == 1 else 2.1, extra=legend_height(names)
    )
    for axes, name in zip(panels, data, strict=True):
        chosen = {curve.arm: curve for curve in drawable if curve.data == name}
        for arm in (arm for arm in names if arm in chosen):
            _line(axes, chosen[arm].epochs, chosen[arm], look[arm])
        axes.set_title(label(name, 22), fontweight="normal")
        _show_the_end(axes, [chosen[arm] for arm in names if arm in chosen])
        axes.grid(axis="y")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        value_axis(axes.yaxis, not numbers(comparison).ratio, bins=5)
    figure.supxlabel("epoch", fontsize=8.5)
    figure.supylabel(label(drawable[0].metric, 40), fontsize=8.5)
    legend(figure, look)
    return figure


def sensitivity(comparison: Comparison) -> Figure | None:
    """Draw the metric against each numeric setting, a panel for each setting and data set."""
    kinds = [s for s in comparison.sensitivity if len(s.values) > 1]
    names = list(dict.fromkeys(s.arm for s in kinds))[:ARMS]
    kinds = [s for s in kinds if s.arm in names]
    panels = list(dict.fromkeys((s.key, s.data) for s in kinds))[: 2 * PANELS]
    if not panels:
        return None
    look = styles(names)
    figure, axes_list = grid(len(panels), 3 if len(panels) > 2 else 2, 2.3, extra=legend_height(names))
    for axes, (key, data) in zip(axes_list, panels, strict=True):
        lines = [s for s in kinds if (s.key, s.data) == (key, data)]
        for line in lines:
            _line(axes, line.values, line, look[line.arm])
        every = sorted({value for line in lines for value in line.values})
        if every[0] > 0 and every[-1] / every[0] >= 20:
            log_axis(axes.xaxis, thinned(every, 5))
        else:
            value_axis(axes.xaxis, bare=False, bins=5)
        axes.set_title(label(data, 22), fontweight="normal")
        axes.set_xlabel(label(key))
        axes.grid(axis="y")
        value_axis(axes.yaxis, not numbers(comparison).ratio, bins=5)
    figure.supylabel(label(comparison.metric.name, 40), fontsize=8.5)
    if names != [""]:
        legend(figure, look)
    return figure


def _line(axes: Axes, x: Sequence[float], of: Curve | Sensitivity, style: ArmStyle) -> None:
    axes.fill_between(x, of.low, of.high, color=style.color, alpha=0.18, linewidth=0)
    every = max(1, len(x) // 6)
    axes.plot(x, of.mean, color=style.color, marker=style.marker, linestyle=style.line, markevery=every)


def _show_the_end(axes: Axes, shown: Sequence[Curve]) -> None:
    """Leave the first fifth of the epochs out of the range of values: a steep start would flatten the rest."""
    ends = [
        value
        for curve in shown
        for edge in (curve.low, curve.high)
        for value in edge[max(1, len(edge) // 5) if len(edge) > 4 else 0 :]
        if math.isfinite(value)
    ]
    if ends and min(ends) < max(ends):
        room = 0.06 * (max(ends) - min(ends))
        axes.set_ylim(min(ends) - room, max(ends) + room)


def legend(figure: Figure, look: Mapping[str, ArmStyle]) -> None:
    """Give all panels one legend."""
    handles = [
        Line2D([], [], color=style.color, marker=style.marker, linestyle=style.line, label=label(name))
        for name, style in look.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=_columns(list(look)), handlelength=3)


def _columns(names: Sequence[str]) -> int:
    return 4 if all(len(label(name)) <= 14 for name in names) else 2


def legend_height(names: Sequence[str]) -> float:
    """Return the inches that a legend needs."""
    return 0.3 + 0.18 * -(-len(names) // _columns(names))
