"""Print a study as a table, one row per run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.report.failures import common_overrides, drop_overrides, split_name
from harness.analysis.report.notes import status
from harness.system.escape import printable

if TYPE_CHECKING:
    from harness.results.record import Record

FITTED = 300  # rows; longer tables are not fitted to the terminal, which would take seconds


def columns(records: Sequence[Record], metric: str | None = None) -> list[str]:
    """Return the metrics to show: the given one, or the objectives of the runs on validation and test."""
    if metric is not None:
        return [metric]
    objectives = dict.fromkeys(str(record.config["objective"]) for record in records if record.config.get("objective"))
    return list(objectives | dict.fromkeys(name.replace("val/", "test/") for name in objectives))


def shared(records: Sequence[Record]) -> str:
    """Return the overrides that all runs share, as typed; empty for a single run."""
    common = common_overrides([record.name for record in records])
    return " ".join(part for part in split_name(records[0].name) if part in common) if common else ""


def run_rows(records: Sequence[Record], metrics: Sequence[str]) -> Iterable[list[str]]:
    """Yield name, status, metrics and seconds of each run; names go without the overrides that all runs share."""
    common = common_overrides([record.name for record in records])
    for record in records:
        numbers = [f"{record.metrics[name]:.4f}" if name in record.metrics else "" for name in metrics]
        seconds = record.time.get("share_s")
        yield [
            drop_overrides(record.name, common),
            status(record),
            *numbers,
            "" if seconds is None else f"{seconds:.2f}",
        ]


def render(header: Sequence[str], body: Iterable[Sequence[str]], numeric: Sequence[str] = ()) -> None:
    """Print a table, fitted to the terminal if there is one and the table is short.

    Args:
        header: Names of the columns.
        body: Cells of each row.
        numeric: Names of the columns to align to the right.
    """
    header, numeric = [printable(name) for name in header], [printable(name) for name in numeric]
    rows = [[printable(cell) for cell in row] for row in body]
    console = Console()
    if console.is_terminal and len(rows) <= FITTED:
        console.print(_fitted(header, rows, numeric), highlight=False)
    else:
        print("\n".join(aligned(header, rows, numeric)))


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str] = ()) -> list[str]:
    """Return the lines of a table with its columns two spaces apart.

    >>> aligned(["run", "loss"], [["a", "0.5"], ["longer", "12.5"]], numeric=["loss"])
    ['run     loss', 'a        0.5', 'longer  12.5']
    """
    columns = []
    for name, *cells in zip(header, *rows, strict=True):
        column = [name, *cells]
        sizes = [cell_len(cell) for cell in column]
        widest = max(sizes)
        gaps = [" " * (widest - size) for size in sizes]
        right = name in numeric
        columns.append([gap + cell if right else cell + gap for cell, gap in zip(column, gaps, strict=True)])
    return ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]


def _fitted(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    longest = max(range(len(header)), key=lambda c: max((len(row[c]) for row in rows), default=0))
    for index, name in enumerate(header):
        folds = index == longest  # numbers and short words are never wrapped
        table.add_column(Text(name), justify="right" if name in numeric else "left", overflow="fold", no_wrap=not folds)
    for row in rows:
        table.add_row(*map(Text, row))  # Text, since a name may hold brackets, which rich reads as markup
    return table
