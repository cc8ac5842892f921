"""Runs that did not complete, in lines that a person can read: which, where, and why."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len

from harness.results.record import Record

UNHAPPY = ("failed", "interrupted", "diverged", "running")  # as they are listed
MANY = 4  # runs of one reason are one row
ROWS = 20


def reason(record: Record) -> str:
    """Why a run did not complete, in one line; what differs from one such run to the next is left to `place`."""
    error = record.error or {}
    text = "".join(c for c in " ".join(str(error.get("message", "")).split()) if c.isprintable())
    if record.status == "diverged":
        return text.removesuffix(f" at step {error.get('step')}")
    if record.status == "interrupted":
        return text
    return ": ".join(part for part in (error.get("type", ""), text) if part)


def place(record: Record) -> str:
    """How far it was, where that is known."""
    step = (record.error or {}).get("step")
    if step is not None:
        return f"step {step}"
    epochs = record.time.get("epochs")
    return f"epoch {epochs}" if epochs else ""


def told(record: Record) -> str:
    """Why and where, of one run by itself."""
    return ", ".join(part for part in (reason(record), place(record)) if part)


def endings(records: Sequence[Record], whole: bool = True) -> list[tuple[int, list[str]]]:
    """How many runs, and their row: status, which, where and why. Many of one reason share a row; names are `whole`,
    or without what all runs have in common.
    """
    alike: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if record.status in UNHAPPY:
            alike.setdefault((record.status, reason(record)), []).append(record)
    usual = in_common([record.name for record in records]) if alike else frozenset()
    rows = []
    for (status, why), group in sorted(alike.items(), key=lambda item: UNHAPPY.index(item[0][0])):
        if len(group) >= MANY:
            common = in_common([record.name for record in group]) - usual
            alone = ",".join(part for part in split_name(group[0].name) if part in common)
            rows.append((len(group), [status, f"{len(group)} runs" + (f" of {alone}" if alone else ""), "", why]))
        else:
            left_out = frozenset() if whole else usual
            rows += [(1, [status, without(record.name, left_out), place(record), why]) for record in group]
    return rows


def shorter(text: str, width: int) -> str:
    """A text that fits: its middle is left out, for names differ at their ends.

    >>> shorter("optimizer=sgd,optimizer.lr=0.1,seed=3", 20)
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


def in_common(names: Sequence[str]) -> frozenset[str]:
    """The overrides that all of some runs have; none for a single one.

    >>> in_common(["optimizer=sgd,epochs=1", "optimizer=adam,epochs=1"])
    frozenset({'epochs=1'})
    """
    return frozenset.intersection(*(frozenset(split_name(name)) for name in names)) if len(names) > 1 else frozenset()


def without(name: str, parts: frozenset[str]) -> str:
    """A run's name without some of its overrides.

    >>> without("optimizer=sgd,regularizer=[l2,dropout],epochs=1", frozenset({"epochs=1"}))
    'optimizer=sgd,regularizer=[l2,dropout]'
    """
    return ",".join(part for part in split_name(name) if part not in parts) or name


def split_name(name: str) -> list[str]:
    """Return the overrides that a run is named after."""
    return re.split(r",(?=[\w.@/:~-]+=)", name)  # a comma inside of a list stands before no key
