"""Simulated sweeps and terminals for tests of live progress."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.results.record import Record

RAISED = {"type": "RuntimeError", "message": "no [bold]room[/bold]\n  for it", "traceback": "..."}


def ended(number: int, status: str = "completed", /, value: float = 0.5, **more: Any) -> Record:
    """Return the record of a run of a sweep over seeds."""
    best = {"val/accuracy": {"value": value, "epoch": 0, "higher_is_better": True}}
    if status == "diverged":
        message = f"the training loss became nan at step {number}"
        more = {"error": {"type": "Diverged", "message": message, "traceback": None, "step": number}} | more
    fields = {
        "name": f"regularizer=[l2,dropout],seed={number},epochs=2",
        "config": {"objective": "val/accuracy"},
        "metrics": {"val/accuracy": value},
        "best": best,
        "cohort": {"path": "fused", "executor": "loky", "why": "a trial"},
        "folder": Path("outputs/s/a"),
    }
    return Record(id=f"{number:012x}", study="s", status=status, **(fields | more))


def terminal(width: int = 80) -> Console:
    """Return a terminal without colours, whose text is in `.file`."""
    return Console(force_terminal=True, file=io.StringIO(), width=width, color_system=None, legacy_windows=False)


def text(console: Console) -> str:
    """Return all text that a console received."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()
