"""Arms over all data sets: performance profiles, interquartile means, and ranks with the critical difference."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures.numbers import fixed
from harness.analysis.figures.style import (
    GRID,
    INK,
    MUTED,
    ROW,
    WIDTH,
    arm_styles,
    blank,
    label,
    rows_axis,
    value_axis,
)
from harness.analysis.stats.mean_ranks import rank_groups

ARMS = 8
RANKED = 40


def profiles(comparison: Comparison) -> Figure | None:
    """Draw the share of runs with at least a given normalised score, and the interquartile means."""
    arms = comparison.aggregates
    if not arms:
        return None
    look = arm_styles(comparison)
    listed = arms[:RANKED]
    figure = blank(max(2.6, 0.7 + ROW * len(listed)))
    left, right = figure.subplots(1, 2)
    for arm in [arm for arm in arms if arm.profile][:ARMS]:
        style = look[arm.arm]
        x, y = ([point[i] for point in arm.profile] for i in (0, 1))
        left.step(
            x, y, where="post", color=style.color, linestyle=style.line, marker=style.marker,
            markevery=max(1, len(x) // 6), label=label(arm.arm),
        )  # fmt: skip
    left.set_xlabel("normalised score")
    left.set_ylabel("share of runs at or above")
    left.grid(axis="y")
    value_axis(left.xaxis, bare=True)
    value_axis(left.yaxis, bare=True)
    for row, arm in enumerate(listed):
        style = look[arm.arm]
        right.axhline(row, color=GRID, linewidth=0.4, zorder=0)
        right.plot([arm.low, arm.high], [row, row], color=style.color, linestyle=style.line, linewidth=1.8)
        right.plot([arm.iqm], [row], color=style.color, marker=style.marker, markersize=5.5)
    rows_axis(right, [arm.arm for arm in listed], 22)
    right.set_xlabel("interquartile mean")
    value_axis(right.xaxis, bare=True, bins=5)
    return figure


def critical_difference(comparison: Comparison) -> Figure | None:
    """Draw the mean ranks; a bar joins arms whose ranks differ by less than the critical difference."""
    width = comparison.critical_difference
    arms = sorted(comparison.aggregates, key=lambda arm: arm.rank)[:RANKED]
    if width is None or len(arms) < 2:
        return None
    groups = rank_groups([arm.rank for arm in arms], width)
    cliques = [(arms[group[0]].rank, arms[group[-1]].rank) for group in groups]
    half = math.ceil(len(arms) / 2)
    top = 0.32 + 0.13 * len(cliques)  # inches from the axis to the first name
    below = top + ROW * half
    figure = blank(0.75 + below, WIDTH)
    axes = figure.subplots()
    best, worst = 1, math.ceil(max(arms[-1].rank, 2))
    room = (worst - best) * 0.5
    axes.set_xlim(best - room, worst + room)
    axes.set_ylim(-below - 0.05, 0.62)
    axes.set_axis_off()
    axes.plot([best, worst], [0, 0], color=INK, linewidth=1)
    for rank in range(best, worst + 1, max(1, (worst - best) // 12)):
        axes.plot([rank, rank], [0, 0.07], color=INK, linewidth=0.8)
        axes.text(rank, 0.11, str(rank), ha="center", va="bottom")
    shown = min(width, worst - best)
    axes.plot([best, best + shown], [0.42, 0.42], color=MUTED, linewidth=1.5, marker="|", markersize=6)
    axes.text(best + shown + room * 0.04, 0.42, f"critical difference {fixed(width, 2)}", va="center", fontsize=8)
    for i, arm in enumerate(arms):
        left = i < half
        y = -(top + ROW * (i if left else len(arms) - 1 - i))
        end = best - room * 0.04 if left else worst + room * 0.04
        axes.plot([arm.rank, arm.rank, end], [0, y, y], color=MUTED, linewidth=0.8, zorder=1)
        text = f"{label(arm.arm, 20)}  {fixed(arm.rank, 2)}" if left else f"{fixed(arm.rank, 2)}  {label(arm.arm, 20)}"
        axes.text(end + (-1 if left else 1) * room * 0.03, y, text, ha="right" if left else "left", va="center")
    for i, (first, last) in enumerate(cliques):
        y = -(0.12 + 0.13 * i)
        pad = (worst - best) * 0.006
        axes.plot([first - pad, last + pad], [y, y], color=INK, linewidth=3, solid_capstyle="round", zorder=3)
    return figure
