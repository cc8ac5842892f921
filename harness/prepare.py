"""From a job to what can be trained: data in memory, `auto` decided, the identity frozen. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import catalogue, environment
from harness.app import Job
from harness.dataset import SPLITS, size
from harness.errors import HarnessError
from harness.identity import identity
from harness.learner.plan import Plan
from harness.load_data import Loaded, Loader
from harness.overrides import folder_name, readable
from harness.record import FILE, OUTPUTS, Record, read
from harness.rehearse import rehearse
from harness.resolve import choices, resolve
from harness.weights import WEIGHTS


@dataclass
class Prepared:
    """A job that has passed every check, with its data in memory and its identity frozen; nothing is written yet."""

    job: Job
    values: dict[str, Any]
    loaded: Loaded
    plan: Plan
    device: str
    record: Record

    def finished(self) -> Record | None:
        """The complete record of this identity that holds everything asked for, if there is one."""
        old = read(self.record.folder)
        if self.values["rerun"] or old is None or old.id != self.record.id:
            return None
        if old.status not in ("completed", "diverged"):
            return None
        asked, held = self.values["metric"], old.config.get("metric", {})
        if any(held.get(name) != node for name, node in asked.items()):
            return None
        wants = self.values["save"]
        if wants != "none" and (old.config.get("save") != wants or not (old.folder / WEIGHTS).exists()):
            return None if old.status == "completed" else replace(old, cached=True)
        if wants == "best" and old.config.get("objective") != self.values["objective"]:
            return None  # the best by another measure
        # what is optimised is asked anew at each launch, and decides nothing about the training
        return replace(old, cached=True, config=old.config | {"objective": self.values["objective"]})


def prepare(job: Job, loader: Loader | None = None) -> Prepared:
    """Loads the data, resolves `auto`, checks what only the data can tell, and freezes the identity."""
    known = catalogue.current()
    loaded = (loader or Loader()).load(job.values)
    values = resolve(job.values, loaded.dataset, known)
    dataset, settings = loaded.dataset, job.settings
    n = size(dataset.train)
    if settings.batch_size > n:
        raise HarnessError(f"batch_size={settings.batch_size} is larger than the {n} training samples")
    plan = Plan(settings.seed, settings.epochs, settings.batch_size, settings.accumulate, settings.warmup, n)
    device = environment.device_type(values["trainer"])
    rehearse(values, dataset, plan)
    run_id = identity(values, device, loaded.digest, known.trainer)
    folder = Path(OUTPUTS) / settings.study / folder_name(job.overrides, run_id)
    folder = _existing(folder, run_id) or folder
    record = Record(
        id=run_id,
        name=readable(job.overrides),
        study=settings.study,
        config=values,
        choices=choices(values),
        data={"name": values["data"]["_component_"], "digest": loaded.digest}
        | {split: size(dataset.part(split)) for split in SPLITS}
        | {"overlap": loaded.overlap},
        folder=folder,
    )
    return Prepared(job, values, loaded, plan, device, record)


def _existing(folder: Path, run_id: str) -> Path | None:
    """The folder that this identity already has in its study, however the overrides were written."""
    return next((p for p in sorted(folder.parent.glob(f"*-{run_id}")) if (p / FILE).exists()), None)
