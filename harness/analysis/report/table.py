"""A study as a table, one row a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.report.failures import in_common, split_name, without
from harness.analysis.report.notes import status
from harness.results.record import Record
from harness.system.escape import printable

FITTED = 300  # more rows are not looked at one by one, and fitting them takes seconds


def columns(records: Sequence[Record], metric: str | None = None) -> list[str]:
    """The metrics to show: the one asked for, or what the runs were to be judged by, on validation and on test."""
    if metric is not None:
        return [metric]
    judged = dict.fromkeys(str(record.config["objective"]) for record in records if record.config.get("objective"))
    return list(judged | dict.fromkeys(name.replace("val/", "test/") for name in judged))


def shared(records: Sequence[Record]) -> str:
    """Return the overrides that all runs share, as they are typed; empty for a single run or where there are none."""
    common = in_common([record.name for record in records])
    return " ".join(part for part in split_name(records[0].name) if part in common) if common else ""


def rows(records: Sequence[Record], shown: Sequence[str]) -> Iterable[list[str]]:
    """Return name, status, metrics and seconds of each run; the names without the overrides that all runs share."""
    common = in_common([record.name for record in records])
    for record in records:
        numbers = [f"{record.metrics[name]:.4f}" if name in record.metrics else "" for name in shown]
        seconds = record.time.get("fit_s")
        yield [without(record.name, common), status(record), *numbers, "" if seconds is None else f"{seconds:.2f}"]


def render(header: Sequence[str], body: Iterable[Sequence[str]], numeric: Sequence[str] = ()) -> None:
    """Prints a table: fitted to a terminal, whole lines elsewhere and where there are many."""
    header, numeric = [printable(name) for name in header], [printable(name) for name in numeric]
    rows = [[printable(cell) for cell in row] for row in body]
    console = Console()
    if console.is_terminal and len(rows) <= FITTED:
        console.print(_fitted(header, rows, numeric), highlight=False)
    else:
        print("\n".join(aligned(header, rows, numeric)))


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[str] = ()) -> list[str]:
    """Whole lines, their columns two spaces apart.

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
        folds = index == longest  # numbers and short words are never broken
        table.add_column(Text(name), justify="right" if name in numeric else "left", overflow="fold", no_wrap=not folds)
    for row in rows:
        table.add_row(*map(Text, row))  # no markup: a name may hold brackets
    return table
