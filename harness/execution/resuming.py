"""Find the checkpoint that a run continues from under `resume=true`, or why it starts from the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.execution.preparation import Preparation, RunSpec
from harness.results import checkpoint
from harness.results.index import read_all
from harness.results.record import Record

NOTHING = "it has no checkpoint (checkpoint_every=N writes one every N epochs)"


def find(member: RunSpec, peek: bool = False) -> tuple[dict[str, Any] | None, str]:
    """Return a run's checkpoint and "", or None and the reason why there is none to continue from.

    Args:
        member: The run.
        peek: Only see whether it can be read: its tensors stay on disk.
    """
    try:
        kept = checkpoint.read(member.record.folder, member.record.id, peek)
    except checkpoint.UnusableCheckpoint as error:
        return None, str(error)
    if kept is None:
        return None, NOTHING
    if (path := member.values["path"]) not in ("auto", kept["path"]):
        return None, f"its checkpoint was written under path={kept['path']}, and path={path} is set"
    return kept, ""


def note_fresh(members: Sequence[RunSpec], preparation: Preparation) -> str | None:
    """Note in each run that asks for `resume=true` and has nothing to resume why that is so, for its record.

    Returns:
        One line about all of them; None if there is no such run.
    """
    asked = [member for member in members if member.values["resume"]]
    fresh = {member.record.id: (member, why) for member in asked if (why := find(member, peek=True)[1])}
    if not fresh:
        return None
    others = {study: read_all(study, []) for study in {member.record.folder.parent for member, _ in fresh.values()}}
    for member, why in fresh.values():
        other = _of_other_epochs(member, others[member.record.folder.parent], preparation) if why == NOTHING else None
        if other is not None:
            why = (
                f"run {other.folder.name} ({other.status}) differs only in epochs, and schedules depend on epochs: "
                "it is another run"
            )
        member.fresh = f"resume=true: nothing to resume, the run starts from the beginning: {why}"
    lines = [member.fresh for member, _ in fresh.values()]
    telling = next((line for line in lines if not line.endswith(NOTHING)), lines[0])
    if len(members) == 1:
        return telling
    why = telling.partition("from the beginning: ")[2]
    some = f"{len(lines)} of {len(members)} runs, which start from the beginning"
    return f"resume=true: nothing to resume for {some}; one of them: {why}"


def _of_other_epochs(member: RunSpec, records: Sequence[Record], preparation: Preparation) -> Record | None:
    """Return the record of a run that would be this one if it had as many epochs."""
    by_id = {record.id: record for record in records}
    epochs = {e for record in records if type(e := record.config.get("epochs")) is int} - {member.plan.epochs}
    found = (by_id.get(preparation.with_epochs(member, e)) for e in sorted(epochs, reverse=True))
    return next(filter(None, found), None)
