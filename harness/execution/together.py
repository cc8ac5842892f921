"""A cohort of prepared runs: those that no one else trains are trained, and their records returned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.execution.cohort import Attempt, How
from harness.execution.locks.run_lock import Claims
from harness.execution.preparation import Prepared
from harness.execution.resuming import find
from harness.execution.run_recorder import Watch
from harness.results.index import by_id
from harness.results.record import Record


def train_cohort(members: Sequence[Prepared], how: How, watch: Watch | None = None) -> list[Record | None]:
    """Trains prepared runs of one study, as one program if `how` says so, and returns their records in order; None
    for one that a living process trains elsewhere, or that fail_fast or a fault of the machine left untrained. Raises
    KeyboardInterrupt after recording it.
    """
    found: dict[str, Record | None] = {}
    study = members[0].record.folder.parent
    with Claims(study) as claims:
        ours = set(claims.claim([m.record.id for m in members]))
        stands = by_id(study, ours)  # another launch may have begun it meanwhile, under overrides written otherwise
        todo = []
        for member in members:
            member.record.folder = stands.get(member.record.id, member.record.folder)
            done = member.finished() if member.record.id in ours else None  # another may have completed it meanwhile
            found[member.record.id] = done
            if member.record.id in ours and done is None:
                todo.append(member)
            elif done is not None:
                claims.release(done.id)
        if todo:
            for some, way in _begun_where(todo, how):
                attempt = Attempt(some, way, watch, claims)
                for running in attempt.train():
                    found[running.record.id] = running.record
                if attempt.ended_by is not None:
                    break
    return [found.get(m.record.id) for m in members]


def _begun_where(members: Sequence[Prepared], how: How) -> Iterator[tuple[list[Prepared], How]]:
    """Members that begin at the same epoch: those that go on from a checkpoint do so on the path that made it."""
    places: dict[tuple[str, int], list[Prepared]] = {}
    for member in members:
        kept = find(member)[0] if member.values["resume"] else None
        if kept is not None:
            member.checkpoint = kept
            places.setdefault((kept["path"], kept["member"]["epochs"]), []).append(member)
        else:
            places.setdefault((how.path, 0), []).append(member)
    for (path, epoch), some in places.items():
        yield some, replace(how, path=path, why=f"goes on after epoch {epoch}, as it began") if epoch else how
