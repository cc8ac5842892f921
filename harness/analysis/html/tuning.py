"""The section of the page on how the settings of the arms were found."""

from __future__ import annotations

from harness.analysis.comparison.model import Comparison
from harness.analysis.figures.numbers import typeset
from harness.analysis.html.elements import Cell, Column, details, items, name, table, text
from harness.analysis.html.tables import SHORT
from harness.analysis.report.ranking import Columns
from harness.analysis.report.tuning import curve_sections, tuning_columns, tuning_lines, tuning_title

_NUMBERS = ("runs", "failed", "steps", "mean", "neighbours")


def tuning(comparison: Comparison, figure: str) -> str:
    """Return the remarks, the table of searches, the figure, and the curves in numbers.

    Args:
        comparison: The comparison.
        figure: The figure of the tuning curves as HTML, or "".
    """
    if not comparison.tuning.contestants:
        return ""
    lines = tuning_lines(comparison)[:SHORT]
    title = tuning_title(comparison).partition(": ")[2]
    parts = [f'<div class="prose">{items(map(text, lines))}</div>' if lines else ""]
    parts += [_table(text(f"{_capital(title)}."), tuning_columns(comparison)), figure]
    curves = [_table(text(_capital(title)), columns) for title, columns in curve_sections(comparison)]
    if curves:
        parts.append(details("Curves in numbers", "".join(curves)))
    return "".join(parts)


def _capital(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}"


def _table(caption: str, columns: Columns) -> str:
    """Return columns of text as a table; those of numbers are sorted by the first number of each cell."""
    keys = list(columns)
    is_number = {key: key in _NUMBERS or key.startswith("budget") for key in keys}
    heads = [Column(columns[key][0], "" if is_number[key] else "text") for key in keys]
    _, *rows = zip(*columns.values(), strict=True)
    cells = [
        [
            Cell(name(cell), "text", "name", head=True)
            if key == "arm"
            else Cell(text(typeset(cell)), _first(cell))
            if is_number[key]
            else Cell(text(cell), "text", "wide" if key == "settings" else "text")
            for key, cell in zip(keys, row, strict=True)
        ]
        for row in rows[:SHORT]
    ]
    return table(caption, heads, cells)


def _first(cell: str) -> float | None:
    """Return the first number of a cell.

    >>> _first("1,234"), _first(".973 [.9, 1.000]"), _first("none completed"), _first("")
    (1234.0, 0.973, None, None)
    """
    try:
        return float(cell.partition(" ")[0].replace(",", ""))
    except ValueError:
        return None
