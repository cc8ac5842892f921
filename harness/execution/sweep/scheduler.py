"""Train the jobs of a sweep.

All jobs are checked before the first is trained, and cached runs are not trained again.
"""

from __future__ import annotations

import secrets
import time
import warnings
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace

from harness.config.job import Job
from harness.config.schema import default_node
from harness.datasets.loading import outside, warn_of_data
from harness.execution.effects import check_distinct, check_effects
from harness.execution.locks.run_lock import tidy
from harness.execution.preparation import Preparation, RunSpec
from harness.execution.resuming import note_fresh
from harness.execution.sweep.callbacks import PlannedRuns, SweepPlan, active
from harness.execution.sweep.grouping import groups
from harness.execution.sweep.launcher import OnRecord, Task, TaskQueue
from harness.execution.sweep.sampled import compare_one
from harness.execution.sweep.strategy import WorkItem, note_started, pack, plan_work, start_seconds, task_seconds
from harness.execution.workers import worker_count
from harness.registry import catalogue
from harness.registry.instantiate import component
from harness.registry.kinds import AUTO, KEY
from harness.results.record import Record
from harness.results.run_dir import make_study
from harness.system.errors import HarnessError
from harness.system.process_state import as_new, ignore, kept
from harness.training.fit import make_trainer, refuse_processes


@as_new()
def train_all(jobs: Sequence[Job], first: int = 0, question: str | None = None) -> list[Record]:
    """Train the jobs of a sweep. Nothing is written before all of them have passed their checks.

    Jobs with the same run ID are trained once in each study. With `fail_fast` the sweep ends at the first failed run.

    Args:
        jobs: The jobs.
        first: The index of the first job in the whole sweep, where a sweeper asks for one batch after another.
        question: The key of the launch from `known_runs.question`, under which the IDs of the runs are kept.

    Returns:
        The records in the order of the jobs, without their diagnostics, which take most of their memory. There are
        fewer records than jobs if `fail_fast` ended the sweep.

    Raises:
        HarnessError: If a job does not pass its checks; or, after the other runs have ended, if a run could not be
            begun or recorded, or if a fault of the machine ended the sweep.
    """
    preparation = Preparation(over_models=len({str(job.values["model"]) for job in jobs}) > 1)
    specs = [preparation.prepare(job) for job in jobs]
    places: dict[tuple[str, str], list[int]] = defaultdict(list)  # indices of the jobs of each run
    for place, spec in enumerate(specs):
        places[_run(spec)].append(place)
    effective = check_effects(specs, preparation.known, in_sweep=True)
    for same in places.values():
        check_distinct([specs[place] for place in same])
    if effective:
        preparation.keep(question, specs)
    records: dict[int, Record] = {}

    def on_record(spec: RunSpec, record: Record) -> None:
        if record.config == spec.values:
            record.config = spec.values  # thousands are held, and a worker's answer brings a copy of each
        light = replace(record, diagnostics={})
        for place in places[_run(spec)]:
            records[place] = light
            active().on_run_end(first + place, first + len(jobs), record)

    wanted = []
    for same in places.values():
        spec = specs[same[0]]
        cached = spec.finished()
        if cached is None:
            wanted.append(spec)
        else:
            on_record(spec, cached)
    fresh = note_fresh(wanted, preparation)
    if fresh and not first:  # a sweeper may ask for batches: one line for all of them
        warnings.warn(fresh, stacklevel=outside())
    began = time.perf_counter()
    try:
        _train(wanted, on_record, any(job.settings.fail_fast for job in jobs))
    finally:
        for study in {spec.record.folder.parent for spec in specs}:
            tidy(study)
    by_id = {spec.record.id: spec for spec in wanted}
    trained = [records[place] for spec in wanted if (place := places[_run(spec)][0]) in records]
    compare_one(trained, by_id, time.perf_counter() - began)
    return [records[place] for place in sorted(records)]


def _run(spec: RunSpec) -> tuple[str, str]:
    return spec.record.study, spec.record.id


def _train(wanted: list[RunSpec], on_record: OnRecord, fail_fast: bool) -> None:
    for spec in {str([s.values["trainer"], [*s.values["callback"]]]): s for s in wanted}.values():
        with kept(ignore):
            trainer = make_trainer(spec.values["trainer"], spec.plan, "")  # refuses what Lightning refuses
        refuse_processes(trainer, spec.values["callback"])
    for spec in {spec.record.data["digest"]: spec for spec in wanted}.values():
        warn_of_data(spec.record.data, spec.values)
    sweep = secrets.token_hex(4)
    by_executor: dict[tuple[str, str], list[RunSpec]] = defaultdict(list)  # executors and jobs may be swept too
    for spec in wanted:
        by_executor[str(spec.asked["executor"]), str(spec.values["jobs"])].append(spec)
    launches: list[list[Task]] = []  # the tasks of one executor each
    for specs in by_executor.values():
        by_name: dict[str, list[WorkItem]] = defaultdict(list)
        for item in plan_work(groups(specs), worker_count(specs[0].values["jobs"]), sweep):
            by_name[item.plan.executor].append(item)
        launches += [_tasks(items) for items in by_name.values()]
    for study in {spec.record.folder.parent for spec in wanted}:
        make_study(study)
    active().on_sweep_planned(_sweep_plan([task for tasks in launches for task in tasks]))
    error: HarnessError | None = None
    for tasks in launches:
        name, first = tasks[0][0].plan.executor, tasks[0][0].specs[0]
        with _executor(name, first) as executor:
            note_started(name)
            queue = TaskQueue(executor, worker_count(first.values["jobs"]), on_record, fail_fast)
            queue.run(tasks)
        error = error or queue.error
        if queue.stopped or queue.machine_failed:
            break
    if error is not None:
        raise error


def _tasks(items: Sequence[WorkItem]) -> list[Task]:
    """Return the tasks of one executor: one item each, or several where tasks are costly to start."""
    first = items[0].specs[0]
    node, workers = first.asked["executor"], worker_count(first.values["jobs"])
    limit = task_seconds(node)
    return [(item,) for item in items] if limit is None else pack(items, workers, limit, start_seconds(node))


def _sweep_plan(tasks: Sequence[Task]) -> SweepPlan:
    groups: dict[tuple[str, str], PlannedRuns] = {}
    for task in tasks:
        for item in task:
            plan = item.plan
            planned = groups.get((plan.path, plan.executor), PlannedRuns(plan.path, plan.executor, plan.why, 0, 0))
            groups[plan.path, plan.executor] = replace(
                planned, runs=planned.runs + len(item.specs), cohorts=planned.cohorts + 1
            )
        for key in {(item.plan.path, item.plan.executor) for item in task}:
            if task_seconds(task[0].specs[0].asked["executor"]) is not None:
                groups[key] = replace(groups[key], jobs=(groups[key].jobs or 0) + 1)
    specs = [spec for task in tasks for item in task for spec in item.specs]
    return SweepPlan(
        {spec.record.id: spec.record.name for spec in specs},
        frozenset(spec.record.folder.parent for spec in specs),
        tuple(groups.values()),
    )


def _executor(name: str, spec: RunSpec) -> Executor:
    """Make the executor of a group: with the settings of its runs, or with its defaults where `auto` chose it."""
    node = spec.asked["executor"]
    if node[KEY] == AUTO or node[KEY] != name:
        node = default_node(catalogue.current(), "executor", name)
    if node.get("accelerator") == AUTO and spec.device == "cpu":
        node = node | {"accelerator": "cpu"}  # there may be a GPU that these runs do not use
    executor: Executor = component("executor", node, jobs=worker_count(spec.values["jobs"]))
    return executor
