"""Find the checkpoint that a run continues from under `resume=true`, or why it starts from the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.execution.preparation import Preparation, RunSpec
from harness.results import checkpoint
from harness.results.index import read_all
from harness.results.record import Record

NOTHING = "it has no checkpoint (checkpoint_every=N writes one every N epochs)"


def find_checkpoint(spec: RunSpec, peek: bool = False) -> tuple[dict[str, Any] | None, str]:
    """Return a run's checkpoint and "", or None and the reason why there is none to continue from.

    Args:
        spec: The run.
        peek: Only check that the checkpoint can be read, and leave its tensors on disk.
    """
    try:
        saved = checkpoint.read(spec.record.folder, spec.record.id, peek)
    except checkpoint.UnusableCheckpoint as error:
        return None, str(error)
    if saved is None:
        return None, NOTHING
    if (path := spec.values["path"]) not in ("auto", saved["path"]):
        return None, f"its checkpoint was written under path={saved['path']}, and path={path} is set"
    return saved, ""


def note_fresh(specs: Sequence[RunSpec], preparation: Preparation) -> str | None:
    """Find the runs with `resume=true` that have nothing to resume, and note the reason in each of them (`fresh`).

    Args:
        specs: The runs of a launch.
        preparation: Computes the IDs of runs with other numbers of epochs.

    Returns:
        One line for a warning about all of them; None if there is no such run.
    """
    resuming = [spec for spec in specs if spec.values["resume"]]
    fresh = {spec.record.id: (spec, why) for spec in resuming if (why := find_checkpoint(spec, peek=True)[1])}
    if not fresh:
        return None
    others = {study: read_all(study, []) for study in {spec.record.folder.parent for spec, _ in fresh.values()}}
    for spec, why in fresh.values():
        other = _of_other_epochs(spec, others[spec.record.folder.parent], preparation) if why == NOTHING else None
        if other is not None:
            why = (
                f"run {other.folder.name} ({other.status}) differs only in epochs, and schedules depend on epochs: "
                "it is another run"
            )
        spec.fresh = f"resume=true: nothing to resume, the run starts from the beginning: {why}"
    lines = [spec.fresh for spec, _ in fresh.values()]
    example = next((line for line in lines if not line.endswith(NOTHING)), lines[0])
    if len(specs) == 1:
        return example
    why = example.partition("from the beginning: ")[2]
    runs = f"{len(lines)} of {len(specs)} runs, which start from the beginning"
    return f"resume=true: nothing to resume for {runs}; one of them: {why}"


def _of_other_epochs(spec: RunSpec, records: Sequence[Record], preparation: Preparation) -> Record | None:
    """Return the record of a run that differs from this one only in its number of epochs."""
    by_id = {record.id: record for record in records}
    epochs = {e for record in records if type(e := record.config.get("epochs")) is int} - {spec.plan.epochs}
    candidates = (by_id.get(preparation.with_epochs(spec, e)) for e in sorted(epochs, reverse=True))
    return next(filter(None, candidates), None)
