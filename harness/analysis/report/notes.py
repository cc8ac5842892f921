"""Lines on runs that need a second look: those that ended before their plan, and those with warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.results.record import Record

WARNINGS = 5  # different lines of a sweep that are shown


def status(record: Record) -> str:
    """The status, with what ended a completed run before its plan.

    >>> status(Record("", "", "", "completed", ended={"reason": "max_time"}))
    'completed (max_time)'
    """
    return f"{record.status} ({record.ended['reason']})" if ended_early(record) else record.status


def ended_early(record: Record) -> bool:
    """Return True if a completed run made fewer steps than were planned."""
    return record.status == "completed" and record.ended.get("reason", "epochs") != "epochs"


def of_run(record: Record) -> list[str]:
    """A line where a run ended before its plan, and one for each warning."""
    lines = []
    if ended_early(record):
        made, planned = record.steps.get("made"), record.steps.get("planned")
        ended = f"{record.ended.get('by')} ended it after {_epochs(record.ended.get('epoch'))}"
        lines.append(f"  steps     {made} of {planned}: {ended}")
    return lines + [f"  warning   {line}" for line in record.warnings]


def of_sweep(records: Sequence[Record]) -> list[str]:
    """How many runs ended before their plan, and the warnings with the number of runs that have them."""
    early = Counter(str(record.ended.get("by")) for record in records if ended_early(record))
    lines = []
    if early:
        told = ", ".join(f"{n} by {by}" for by, n in early.most_common())
        lines.append(f"  ended     before their planned steps: {told}")
    found = Counter(line for record in records for line in dict.fromkeys(record.warnings))
    for line, n in found.most_common(WARNINGS):
        lines.append(f"  warning   {line}" + (f" ({n} runs)" if n > 1 else ""))
    if len(found) > WARNINGS:
        lines.append(f"  warning   and {len(found) - WARNINGS} more: harness report shows them")
    return lines


def _epochs(count: object) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"
