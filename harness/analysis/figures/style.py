"""The look of all figures: colours, markers and lines that are told apart without colour, and texts taken literally."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, Formatter, FuncFormatter, MaxNLocator, NullLocator

from harness.analysis.comparison.model import Comparison, Table
from harness.analysis.figures.numbers import Numbers, fixed
from harness.system.escape import printable

WIDTH = 6.75  # inches: the text width of a page with two columns
ROW = 0.21  # inches of a row with a label
INK, MUTED, GRID, BAND, PAPER = "#1f2329", "#656d75", "#d8dee5", "#e9edf2", "#fffffe"
# Okabe and Ito, Color Universal Design (2008), without yellow, which paper and white screens swallow.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f80")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
LINES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (7, 2, 1, 2)))
PANELS = 13  # most panels of a figure; the tables of the report have the rest
_RC = {
    "font.size": 8.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # part of matplotlib: the same figure on every machine
    "text.parse_math": False,  # a `$` of a name is a dollar
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": PAPER,
    "savefig.facecolor": "auto",
    "hatch.linewidth": 0.7,
    "hatch.color": PAPER,
    "pdf.fonttype": 42,  # fonts that editors of PDF files can read
}


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is drawn, in every figure alike."""

    color: str
    marker: str
    line: Any


@contextmanager
def style() -> Iterator[None]:
    """Draw independently of the user's matplotlibrc, and leave the settings of matplotlib as they were."""
    with matplotlib.style.context(_RC, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)  # the browser has more fonts
        yield


def blank(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure, apart from pyplot and its list of open figures."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def grid(count: int, columns: int, row_height: float, extra: float = 0.0, **shared: Any) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels in rows of `columns`.

    Args:
        count: Number of panels.
        columns: Most panels in a row.
        row_height: Inches of a row.
        extra: Inches of the figure beside the rows, for example of a legend.
        **shared: `sharex` and `sharey` of the panels.
    """
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = blank(rows * row_height + extra)
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel().tolist()
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def main_tables(comparison: Comparison) -> Sequence[Table]:
    """Return the table over data sets if there is one, else those of the data sets."""
    return [comparison.overall] if comparison.overall else comparison.tables


def all_tables(comparison: Comparison) -> list[Table]:
    """Return the table over data sets, if there is one, and those of the data sets."""
    return [*([comparison.overall] if comparison.overall else []), *comparison.tables]


def ranked(comparison: Comparison) -> list[str]:
    """Return the names of all arms in the order of the first table, the best first."""
    return list(dict.fromkeys(arm.name for table in all_tables(comparison) for arm in table.arms))


def arm_styles(comparison: Comparison) -> dict[str, ArmStyle]:
    """Return a style for each arm; arms beside each other in the ranking differ in colour, marker and line."""
    return styles(ranked(comparison))


def styles(names: Sequence[str]) -> dict[str, ArmStyle]:
    """Return a style for each name."""
    return {
        name: ArmStyle(PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], LINES[i % len(LINES)])
        for i, name in enumerate(names)
    }


def label(text: object, width: int = 26) -> str:
    """Return a text for a figure: escaped, and shortened in its middle.

    >>> label("adam,relu"), label("a" * 20 + "b" * 20, width=11)
    ('adam,relu', 'aaaaaa…bbbb')
    """
    shown = printable(text)
    if len(shown) <= width:
        return shown
    tail = (width - 1) * 2 // 5
    return f"{shown[: width - 1 - tail]}…{shown[-tail:]}"


def title(table: Table, width: int = 24) -> str:
    """Return the title of the panel of a table."""
    return "over data sets" if table.data is None else label(table.data, width)


def rows_axis(axes: Axes, names: Sequence[str], width: int = 26) -> None:
    """Give a vertical axis a row for each name, the first at the top."""
    axes.set_yticks(range(len(names)), [label(name, width) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def difference_axis(axes: Axes, numbers: Numbers, bins: int = 5) -> None:
    """Format the horizontal axis of differences, or of ratios on a logarithmic scale."""
    if not numbers.ratio:
        axes.xaxis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(_Ticks(bare=True, signed=True))
        return
    low, high = axes.get_xlim()
    axes.set_xscale("log")
    axes.set_xlim(max(low, 1e-9), high)
    axes.xaxis.set_major_locator(FixedLocator(_ratio_ticks(*axes.get_xlim(), bins)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"×{x:.4g}"))


def value_axis(axis: Any, bare: bool, bins: int = 6) -> None:
    """Format an axis of values; `bare` leaves out the zero before the point."""
    axis.set_major_locator(MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(_Ticks(bare))


def log_axis(axis: Any, values: Sequence[float]) -> None:
    """Make an axis logarithmic, with plain numbers at some of the values."""
    axis.axes.set_xscale("log")
    axis.set_major_locator(FixedLocator(values))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.3g}"))


def thinned(values: Sequence[float], most: int = 6) -> list[float]:
    """Return at most so many of the values, at equal steps.

    >>> thinned([1, 2, 3, 4, 5, 6, 7], most=3)
    [1, 4, 7]
    """
    step = max(1, math.ceil(len(values) / most))
    return list(values[::step])


class _Ticks(Formatter):
    """Numbers of an axis, with as many decimals as the closest two need."""

    def __init__(self, bare: bool, signed: bool = False) -> None:
        self.bare, self.signed = bare, signed

    def __call__(self, x: float, pos: int | None = None) -> str:
        return fixed(x, 3)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        step = min((abs(b - a) for a, b in pairwise(values)), default=1.0) or 1.0
        decimals = next((d for d in range(9) if abs(round(step, d) - step) < 0.01 * step), 9)
        texts = [fixed(0.0 if abs(x) < step / 100 else x, decimals, self.bare) for x in values]
        texts = ["0" if abs(x) < step / 100 else text for x, text in zip(values, texts, strict=True)]
        if self.signed:
            texts = [f"+{text}" if x > step / 100 else text for x, text in zip(values, texts, strict=True)]
        return texts


def _ratio_ticks(low: float, high: float, bins: int) -> list[float]:
    """Return round ratios between two ends.

    >>> [round(x, 2) for x in _ratio_ticks(0.85, 1.25, 4)], _ratio_ticks(0.3, 12, 8)
    ([0.9, 1.0, 1.1, 1.2], [0.5, 1.0, 2.0, 5.0, 10.0])
    """
    if high / low < 4:
        ticks = [float(x) for x in MaxNLocator(bins, steps=[1, 2, 5, 10]).tick_values(low, high)]
    else:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
        if sum(low <= x <= high for x in ticks) > 2 * bins:
            ticks = [10.0**decade for decade in decades]
    return [x for x in ticks if low <= x <= high]
