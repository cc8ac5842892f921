"""A study as a table, one row a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from harness.record import Record


def columns(records: Sequence[Record], metric: str | None = None) -> list[str]:
    """The metrics to show: the one asked for, or what the runs were to be judged by, on validation and on test."""
    if metric is not None:
        return [metric]
    judged = dict.fromkeys(str(record.config["objective"]) for record in records if record.config.get("objective"))
    return [*judged, *(name.replace("val/", "test/") for name in judged)]


def rows(records: Sequence[Record], shown: Sequence[str]) -> Iterable[list[str]]:
    """Name, status, metrics, seconds."""
    for record in records:
        numbers = [f"{record.metrics[name]:.4f}" if name in record.metrics else "" for name in shown]
        seconds = record.time.get("fit_s")
        yield [record.name, record.status, *numbers, "" if seconds is None else f"{seconds:.2f}"]


def render(header: Sequence[str], body: Iterable[Sequence[str]], numeric: Sequence[str] = ()) -> None:
    """Prints a table: fitted to a terminal, whole lines elsewhere."""
    console = Console()
    rows = [list(row) for row in body]
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    longest = max(range(len(header)), key=lambda c: max((len(row[c]) for row in rows), default=0))
    for index, name in enumerate(header):
        folds = console.is_terminal and index == longest  # numbers and short words are never broken
        table.add_column(name, justify="right" if name in numeric else "left", overflow="fold", no_wrap=not folds)
    for row in rows:
        table.add_row(*[str(cell).replace("[", r"\[") for cell in row])
    if not console.is_terminal:
        widths = [max([len(str(c)) for c in column]) for column in zip(header, *rows, strict=True)]
        console.width = sum(widths) + 3 * len(widths) + 8
    console.print(table, highlight=False)
