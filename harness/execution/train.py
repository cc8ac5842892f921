"""Train one run in this process, from its job to its record.

`train` reads in the order of a run's life: prepare (`preparation.py`: load the data, resolve `auto`, validate, compute
the ID), then `cohort.py`: build, fit, measure, record.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace

from harness.config.job import Job
from harness.datasets.loading import Loader, outside, warn_of_data
from harness.execution.cohort import CohortPlan, build_parts, payload, train_cohort
from harness.execution.effects import check_effects
from harness.execution.preparation import Preparation
from harness.execution.resuming import note_fresh
from harness.execution.run_recorder import make_member
from harness.execution.sweep.grouping import followed
from harness.results.record import Record
from harness.system.errors import HarnessError, short_path
from harness.system.process_state import as_new, ignore, kept
from harness.training.fit import Run, fit, make_trainer, refuse_processes
from harness.training.run_callback import RunCallback


@as_new()
def train(
    job: Job, callbacks: Sequence[RunCallback] = (), loader: Loader | None = None, question: str | None = None
) -> Record:
    """Train a job in this process, unless it is cached: a completed run with the same ID is in its study.

    Args:
        job: The composed and validated job.
        callbacks: Callbacks of the run.
        loader: The data that is already loaded, if there is some.
        question: The key of the launch from `known_runs.question`, under which the run's ID is kept.

    Returns:
        The record. An exception in training is a record with the status "failed".

    Raises:
        HarnessError: If a setting or the data is refused; nothing is written then.
        KeyboardInterrupt: If the user interrupts; the run is recorded first.
    """
    preparation = Preparation(loader)
    spec = preparation.prepare(job)
    if check_effects([spec], preparation.known, in_sweep=False):
        preparation.keep(question, [spec])
    if (record := spec.finished()) is not None:
        return record
    spec.trainer = make_trainer(spec.values["trainer"], spec.plan, payload(spec), spec.record.folder)
    refuse_processes(spec.trainer, spec.values["callback"])
    preparation.refuse_stale(spec)
    warn_of_data(spec.record.data, spec.values)
    if line := note_fresh([spec], preparation):
        warnings.warn(line, stacklevel=outside())
    fused = job.settings.path == "fused"
    plan = CohortPlan("fused", "path=fused", forced=True) if fused else CohortPlan()
    if reason := followed(spec.values):
        plan = replace(plan, why=reason)
    (record,) = train_cohort([spec], plan, callbacks)
    if record is None:
        raise HarnessError(f"another process trains this run now: {short_path(spec.record.folder)}")
    return record


@as_new()
def main_rank(payload: str) -> None:
    """Train as one of the other processes of a distributed run: the same steps, and no writing.

    Args:
        payload: The run, as `cohort.payload` describes it.
    """
    sent = json.loads(payload)  # the launcher has checked the settings
    spec = Preparation(over_models=True).prepare(Job(sent["values"], sent["overrides"]))
    if spec.record.id != sent["id"]:
        raise RuntimeError(f"this process sees run {spec.record.id}, its launcher {sent['id']}")
    dataset = spec.dataset
    with kept(ignore):  # the main process records it
        parts = build_parts(spec, dataset)
    warnings.simplefilter("ignore")
    trainer = make_trainer(spec.values["trainer"], spec.plan, payload)
    fit(trainer, [Run(parts, spec.plan, dataset, make_member(spec.values, parts))])
