"""Print a comparison: the verdict in words, then a ranked table for each data set.

Names come from records: they are escaped, and no markup in them is interpreted.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from harness.analysis.comparison.model import Comparison, Effect, Metric, Table
from harness.analysis.report.failures import shorten
from harness.analysis.report.ranking import (
    NUMERIC,
    Columns,
    aggregate_columns,
    effect_columns,
    effect_sections,
    facts,
    failure_columns,
    look_text,
    metric_text,
    ranking,
    shown_arms,
    table_title,
    tables_of,
)
from harness.analysis.report.table import aligned
from harness.analysis.report.tuning import curve_sections, tuning_columns, tuning_lines, tuning_title
from harness.system.escape import printable

LABEL = 11  # columns of a label and the space behind it
LINE = 120  # columns of a line of facts, where nothing limits it
NAME = 16  # columns that a shortened name keeps, as long as columns can be left out
NARROW = 10  # columns that it keeps in any case
OPTIONAL = ("seconds", "needed", "won", "steps", "neighbours")  # columns left out, in this order, of too wide tables
MAX_ROWS = 20  # of failures
FEW = 6  # contrasts of a factor that are all shown
MAX_EFFECTS = 10  # of more contrasts, the settled ones that are shown
MAX_CURVES = 3  # data sets whose tuning curves are shown
UNSETTLED = 3  # of more contrasts, those that are shown where none is settled


def report_text(comparison: Comparison, width: int | None = None) -> str:
    """Return the report of a comparison for the terminal.

    Args:
        comparison: The comparison.
        width: Columns of the terminal, which long names are shortened to; None for whole names.
    """
    tables = tables_of(comparison)
    lines = [part for line in comparison.verdict for part in _wrapped(line, width)]
    context = metric_text(comparison, tables[0] if len(tables) == 1 else None)
    lines += _wrapped(f"{context}; {look_text(comparison)}", width)
    for table in tables:
        if len(tables) > 1:
            lines += ["", *_wrapped(table_title(table, comparison.metric), width)]
        lines += _table(comparison, table, width)
    lines += _aggregates(comparison, width)
    lines += _failures(comparison, width)
    for title, effects in effect_sections(comparison):
        lines += ["", *_effects(title, effects, comparison.metric, width)]
    lines += _tuning(comparison, width)
    closing = [part for note in comparison.notes for part in _labelled("note", note, width)]
    if comparison.more:
        closing.append(f"{'more seeds':<{LABEL}}{comparison.more}   (verdicts stay valid)")
    if closing and "" in lines:  # there are sections, each below an empty line
        closing.insert(0, "")
    return "\n".join(map(printable, lines + closing))


def _table(comparison: Comparison, table: Table, width: int | None) -> list[str]:
    """Return the lines of a ranked table and of the facts below it."""
    columns = ranking(table, comparison.metric, comparison.margin, limit=True)
    hidden = len(table.arms) - len(shown_arms(table, limit=True))
    more = [f"and {hidden} more arms: --csv, --json and --html FILE have all"] if hidden else []
    return _fitted(columns, width, "arm") + more + _facts(facts(table, comparison.metric), width)


def _facts(explained: Mapping[str, str], width: int | None) -> list[str]:
    """Return the facts below a table, as many on a line as fit."""
    lines: list[str] = []
    for label, text in explained.items():
        part = f"    {label}  {text}"
        if lines and cell_len(lines[-1]) + cell_len(part) <= (width or LINE):
            lines[-1] += part
        else:
            lines.append(f"{label:<{LABEL}}{text}")
    return [part for line in lines for part in _wrapped(line, width, LABEL)]


def _failures(comparison: Comparison, width: int | None) -> list[str]:
    if not comparison.failures:
        return []
    room = None if width is None else 2 * width  # reasons are wrapped
    header, *rows = _fitted(failure_columns(comparison), room, "arm")
    lines = ["", "runs that did not complete", header]
    for failure, row in zip(comparison.failures[:MAX_ROWS], rows, strict=False):
        lines += [*_wrapped(row, width, 4), *(f"    doctor: {line}" for line in failure.findings)]
    if any(failure.p is not None for failure in comparison.failures):
        lines += _labelled(
            "p", "Fisher's test that the arm completes as often as the one that completes most often", width
        )
    return lines + _hidden(len(comparison.failures), MAX_ROWS)


def _effects(title: str, effects: Sequence[Effect], metric: Metric, width: int | None) -> list[str]:
    """Return the lines on contrasts of the same factors: few ones, or those that are settled."""
    settled = sum(effect.verdict == "settled" for effect in effects)
    shown = len(effects) if len(effects) <= FEW else min(MAX_EFFECTS, max(settled, UNSETTLED))
    counted = f": {settled} of {len(effects)} contrasts are settled" if len(effects) > 1 else ""
    table = _fitted(effect_columns(effects[:shown], metric), width, "contrast")
    return [*_wrapped(f"{title}{counted}", width), *table, *_hidden(len(effects), shown)]


def _aggregates(comparison: Comparison, width: int | None) -> list[str]:
    if not comparison.aggregates:
        return []
    lines = ["", "ranks over data sets", *_fitted(aggregate_columns(comparison), width, "arm")]
    if comparison.critical_difference is not None:
        text = f"a difference of mean ranks above {comparison.critical_difference:.2f} is settled (Nemenyi)"
        lines += _labelled("ranks", text, width)
    return lines


def _tuning(comparison: Comparison, width: int | None) -> list[str]:
    """Return the lines on how settings were found: the searches, their curves, and remarks."""
    if not comparison.tuning.contestants:
        return []
    columns = tuning_columns(comparison)
    below: list[str] = []
    if width is not None and _width(columns) > width:
        _, *found = columns.pop("settings")
        places = [f"{t.arm} on {t.data}" if "data" in columns else t.arm for t in comparison.tuning.contestants]
        pairs = zip(places, found, strict=True)
        below = [part for place, text in pairs for part in _labelled("found", f"{place}: {text}", width)]
    lines = ["", *_wrapped(tuning_title(comparison), width), *_fitted(columns, width, "arm"), *below]
    sections = list(zip(*(curve_sections(comparison, most) for most in (None, 4, 3, 2)), strict=True))
    for of_data in sections[:MAX_CURVES]:  # the same data set with fewer and fewer budgets
        title, columns = next((s for s in of_data if width is None or _width(s[1]) <= width), of_data[-1])
        lines += ["", *_wrapped(title, width), *_fitted(columns, width, "arm")]
    lines += _hidden(len(sections), MAX_CURVES)
    return lines + [part for remark in tuning_lines(comparison) for part in _labelled("tuning", remark, width)]


def _hidden(total: int, shown: int) -> list[str]:
    return [f"and {total - shown} more: --json has all"] if total > shown else []


def _fitted(columns: Columns, width: int | None, names: str) -> list[str]:
    """Return the lines of a table; too wide for the terminal, its names are shortened and columns are left out.

    Args:
        columns: The columns.
        width: Columns of the terminal, or None.
        names: Key of the column that is shortened.
    """
    columns = {key: [printable(cell) for cell in column] for key, column in columns.items()}
    if width is not None and _width(columns) > width and "against" in columns:
        title, *cells = columns["against"]
        columns["against"] = [shorten(title, max(map(cell_len, cells))), *cells]
    for key in ("", *OPTIONAL):
        columns.pop(key, None)
        longest = max(map(cell_len, columns[names]))
        room = longest if width is None else longest - (_width(columns) - width)
        if room >= min(longest, NAME):
            break
    columns[names] = [shorten(cell, max(NARROW, room)) for cell in columns[names]]
    return _lines(columns)


def _lines(columns: Columns) -> list[str]:
    header, *rows = zip(*columns.values(), strict=True)
    return aligned(header, rows, [column[0] for key, column in columns.items() if key in NUMERIC])


def _width(columns: Columns) -> int:
    return sum(max(map(cell_len, column)) for column in columns.values()) + 2 * (len(columns) - 1)


def _labelled(label: str, text: str, width: int | None) -> list[str]:
    return _wrapped(f"{label:<{LABEL}}{text}", width, LABEL)


def _wrapped(line: str, width: int | None, indent: int = 0) -> list[str]:
    """Break a line at spaces, with an indent below its beginning."""
    line = printable(line)
    if width is None or cell_len(line) <= width:
        return [line]
    wrapper = textwrap.TextWrapper(
        max(width, 2 * indent + 1), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip
    return wrapper.wrap(line)
