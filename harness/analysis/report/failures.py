"""Describe runs that did not complete, with the reason and the step or epoch reached."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

if TYPE_CHECKING:
    from harness.results.record import Record


NOT_COMPLETED = ("failed", "interrupted", "diverged", "running")  # in the order of the report
MIN_GROUP = 4  # so many runs with one reason share a row
MAX_ROWS = 20


def reason(record: Record) -> str:
    """Return in one line why a run did not complete, without the step, so that equal reasons are equal lines."""
    error = record.error or {}
    text = "".join(c for c in " ".join(str(error.get("message", "")).split()) if c.isprintable())
    if record.status == "diverged":
        return text.removesuffix(f" at step {error.get('step')}")
    if record.status == "interrupted":
        return text
    return ": ".join(part for part in (error.get("type", ""), text) if part)


def position(record: Record) -> str:
    """Return the step or epoch that a run has reached, or the empty string."""
    step = (record.error or {}).get("step")
    if step is not None:
        return f"step {step}"
    epochs = record.time.get("epochs")
    return f"epoch {epochs}" if epochs else ""


def reason_and_position(record: Record) -> str:
    """Return in one line why and where a run did not complete."""
    return ", ".join(part for part in (reason(record), position(record)) if part)


def failure_rows(records: Sequence[Record], full_names: bool = True) -> list[tuple[int, list[str]]]:
    """Return the rows of a table of runs that did not complete. Many runs with one reason share a row.

    Args:
        records: All runs of the sweep.
        full_names: False to leave the overrides that all runs share out of the names.

    Returns:
        For each row the number of its runs, and its cells: status, name, step or epoch, reason.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status in NOT_COMPLETED:
            groups.setdefault((record.status, reason(record)), []).append(record)
    shared = common_overrides([record.name for record in records]) if groups else frozenset()
    rows = []
    for (status, why), group in sorted(groups.items(), key=lambda item: NOT_COMPLETED.index(item[0][0])):
        if len(group) >= MIN_GROUP:
            common = common_overrides([record.name for record in group]) - shared
            label = ",".join(part for part in split_name(group[0].name) if part in common)
            rows.append((len(group), [status, f"{len(group)} runs" + (f" of {label}" if label else ""), "", why]))
        else:
            dropped = frozenset() if full_names else shared
            rows += [(1, [status, drop_overrides(record.name, dropped), position(record), why]) for record in group]
    return rows


def shorten(text: str, width: int) -> str:
    """Shorten a text to a width in columns. Its middle is left out, since names of runs differ at their ends.

    >>> shorten("optimizer=sgd,optimizer.lr=0.1,seed=3", 20)
    'optimizer=….1,seed=3'
    """
    if cell_len(text) <= width:
        return text
    head = tail = ""
    for front, back in zip(text, reversed(text), strict=True):
        if cell_len(head + front + tail) > width - 1:
            break
        head += front
        if cell_len(head + back + tail) > width - 1:
            break
        tail = back + tail
    return f"{head}…{tail}"


def common_overrides(names: Sequence[str]) -> frozenset[str]:
    """Return the overrides that all runs share, by the names of the runs; none for a single run.

    >>> common_overrides(["optimizer=sgd,epochs=1", "optimizer=adam,epochs=1"])
    frozenset({'epochs=1'})
    """
    return frozenset.intersection(*(frozenset(split_name(name)) for name in names)) if len(names) > 1 else frozenset()


def drop_overrides(name: str, parts: frozenset[str]) -> str:
    """Return a run's name without some of its overrides, or the whole name if none would be left.

    >>> drop_overrides("optimizer=sgd,regularizer=[l2,dropout],epochs=1", frozenset({"epochs=1"}))
    'optimizer=sgd,regularizer=[l2,dropout]'
    """
    return ",".join(part for part in split_name(name) if part not in parts) or name


def split_name(name: str) -> list[str]:
    """Return the overrides that a run is named after."""
    return re.split(r",(?=[\w.@/:~-]+=)", name)  # a comma inside of a list is not followed by a key
