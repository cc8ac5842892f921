"""One job from its config to its complete record, in this process."""

from __future__ import annotations

import json
import warnings

from harness.config.job import Job
from harness.datasets.loading import Loader, outside, warn_of_data
from harness.execution.cohort import CohortPlan, build_parts, train_cohort
from harness.execution.effects import check_effects
from harness.execution.preparation import Preparation, refuse_stale
from harness.execution.resuming import note_fresh
from harness.execution.run_recorder import Watch, make_member
from harness.results.record import Record
from harness.system.errors import HarnessError, short_path
from harness.system.process_state import as_new, ignore, kept
from harness.training.fit import Run, fit, make_trainer


@as_new()
def train(job: Job, watch: Watch | None = None, loader: Loader | None = None) -> Record:
    """Trains a job in this process, unless a complete record of its identity stands in its study.

    Raises HarnessError for bad input, with nothing written, and KeyboardInterrupt after recording it. What goes
    wrong in training is a failed record, and no exception.
    """
    preparation = Preparation(loader)
    prepared = preparation.prepare(job)
    check_effects([prepared], preparation.known, in_sweep=False)
    done = prepared.finished()
    if done is not None:
        return done
    fused = job.settings.path == "fused"
    how = CohortPlan("fused", "path=fused", forced=True) if fused else CohortPlan()
    with kept(ignore):
        make_trainer(prepared.values["trainer"], prepared.plan, "")  # what Lightning refuses is bad input
    refuse_stale([prepared])
    warn_of_data(prepared.record.data, prepared.values)
    if line := note_fresh([prepared], preparation):
        warnings.warn(line, stacklevel=outside())
    (record,) = train_cohort([prepared], how, watch)
    if record is None:
        raise HarnessError(f"another process trains this run now: {short_path(prepared.record.folder)}")
    return record


@as_new()
def main_rank(payload: str) -> None:
    """What the other processes of a distributed run do: the same training, and no writing."""
    given = json.loads(payload)  # the launcher has refused what is to be refused
    prepared = Preparation(over_models=True).prepare(Job(given["values"], given["overrides"]))
    if prepared.record.id != given["id"]:
        raise RuntimeError(f"this process sees run {prepared.record.id}, its launcher {given['id']}")
    dataset = prepared.dataset
    parts = build_parts(prepared, dataset)
    warnings.simplefilter("ignore")
    trainer = make_trainer(prepared.values["trainer"], prepared.plan, payload)
    fit(trainer, [Run(parts, prepared.plan, dataset, make_member(prepared.values, parts))])
