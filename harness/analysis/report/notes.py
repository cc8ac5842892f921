"""Report runs that ended early or have warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.results.record import Record

MAX_WARNINGS = 5  # different warnings of a sweep to show


def status(record: Record) -> str:
    """Return the status of a run, with the reason if a completed run ended early.

    >>> from harness.results.record import Record
    >>> status(Record("", "", "", "completed", ended={"reason": "max_time"}))
    'completed (max_time)'
    """
    return f"{record.status} ({record.ended['reason']})" if ended_early(record) else record.status


def ended_early(record: Record) -> bool:
    """Return True if a completed run made fewer steps than planned."""
    return record.status == "completed" and record.ended.get("reason", "epochs") != "epochs"


def run_notes(record: Record) -> list[str]:
    """Return a line if a run ended early, and one for each of its warnings."""
    lines = []
    if ended_early(record):
        made, planned = record.steps.get("made"), record.steps.get("planned")
        ended = f"{record.ended.get('by')} ended it after {_epochs(record.ended.get('epoch'))}"
        lines.append(f"  steps     {made} of {planned}: {ended}")
    return lines + [f"  warning   {line}" for line in record.warnings]


def sweep_notes(records: Sequence[Record]) -> list[str]:
    """Return lines on the number of runs that ended early, and on the warnings with the number of runs they concern."""
    early = Counter(str(record.ended.get("by")) for record in records if ended_early(record))
    lines = []
    if early:
        causes = ", ".join(f"{n} by {by}" for by, n in early.most_common())
        lines.append(f"  ended     before their planned steps: {causes}")
    warnings = Counter(line for record in records for line in dict.fromkeys(record.warnings))
    for line, n in warnings.most_common(MAX_WARNINGS):
        lines.append(f"  warning   {line}" + (f" ({n} runs)" if n > 1 else ""))
    if len(warnings) > MAX_WARNINGS:
        lines.append(f"  warning   and {len(warnings) - MAX_WARNINGS} more: harness report shows them")
    return lines


def _epochs(count: object) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"
