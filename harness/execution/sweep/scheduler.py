"""Many runs: every job is checked before the first is trained; what is complete is not trained again."""

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
from harness.execution.sweep.launcher import Done, Task, TaskQueue
from harness.execution.sweep.sampled import compare_one
from harness.execution.sweep.strategy import WorkItem, chosen, packed, started, task_seconds
from harness.execution.workers import count
from harness.registry import catalogue
from harness.registry.instantiate import component
from harness.registry.kinds import AUTO, KEY
from harness.results.record import Record
from harness.results.run_dir import make_study
from harness.system.errors import HarnessError
from harness.system.process_state import as_new, ignore, kept
from harness.training.fit import make_trainer


@as_new()
def train_all(jobs: Sequence[Job], first: int = 0) -> list[Record]:
    """Trains jobs, and returns their records in their order. Nothing is written before all have passed their checks.

    `first` is the place of the first job in the whole sweep. Jobs of one identity are trained once in each study. With
    fail_fast the sweep ends at the first failed run, and the records are those so far. Raises HarnessError after the
    others have ended if a run could not be begun or recorded, or if a fault of the machine ended the sweep.
    """
    preparation = Preparation(over_models=len({str(job.values["model"]) for job in jobs}) > 1)
    members = [preparation.prepare(job) for job in jobs]
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, member in enumerate(members):
        places[_run(member)].append(place)
    check_effects(members, preparation.known, in_sweep=True)
    for own in places.values():
        check_distinct([members[place] for place in own])
    found: dict[int, Record] = {}

    def done(member: RunSpec, record: Record) -> None:
        if record.config == member.values:
            record.config = member.values  # thousands are held: a worker's answer brings a copy
        for place in places[_run(member)]:
            found[place] = record
            active().on_run_end(first + place, first + len(jobs), record)

    wanted = []
    for own in places.values():
        member = members[own[0]]
        complete = member.finished()
        if complete is None:
            wanted.append(member)
        else:
            done(member, complete)
    fresh = note_fresh(wanted, preparation)
    if fresh and not first:  # a sweeper may ask for batches: one line for all of them
        warnings.warn(fresh, stacklevel=outside())
    began = time.perf_counter()
    try:
        _train(wanted, done, any(job.settings.fail_fast for job in jobs))
    finally:
        for study in {member.record.folder.parent for member in members}:
            tidy(study)
    by_id = {member.record.id: member for member in wanted}
    trained = [found[place] for member in wanted if (place := places[_run(member)][0]) in found]
    compare_one(trained, by_id, time.perf_counter() - began)
    return [found[place] for place in sorted(found)]


def _run(member: RunSpec) -> tuple[str, str]:
    return member.record.study, member.record.id


def _train(wanted: list[RunSpec], done: Done, fail_fast: bool) -> None:
    for trainer in {str(m.values["trainer"]): m for m in wanted}.values():
        with kept(ignore):
            make_trainer(trainer.values["trainer"], trainer.plan, "")  # what Lightning refuses is bad input
    for member in {m.record.data["digest"]: m for m in wanted}.values():
        warn_of_data(member.record.data, member.values)
    sweep = secrets.token_hex(4)
    alike: dict[tuple[str, str], list[RunSpec]] = defaultdict(list)  # what is asked of executors may be swept too
    for member in wanted:
        alike[str(member.asked["executor"]), str(member.values["jobs"])].append(member)
    tasks: list[list[Task]] = []  # of an executor each
    for some in alike.values():
        by_name: dict[str, list[WorkItem]] = defaultdict(list)
        for share in chosen(groups(some), count(some[0].values["jobs"]), sweep):
            by_name[share.how.executor].append(share)
        tasks += [_tasks(own) for own in by_name.values()]
    for study in {member.record.folder.parent for member in wanted}:
        make_study(study)
    active().on_sweep_planned(_plan([task for own in tasks for task in own]))
    refused: HarnessError | None = None
    for own in tasks:
        name, first = own[0][0].how.executor, own[0][0].members[0]
        with _executor(name, first) as executor:
            started(name)
            launch = TaskQueue(executor, count(first.values["jobs"]), done, fail_fast)
            launch.run(own)
        refused = refused or launch.refused
        if launch.stopped or launch.machine_failed:
            break
    if refused is not None:
        raise refused


def _tasks(shares: Sequence[WorkItem]) -> list[Task]:
    """The tasks of one executor: a share each, or packed into few where each is costly to start."""
    first = shares[0].members[0]
    limit = task_seconds(first.asked["executor"])
    return [(share,) for share in shares] if limit is None else packed(shares, count(first.values["jobs"]), limit)


def _plan(tasks: Sequence[Task]) -> SweepPlan:
    ways: dict[tuple[str, str], PlannedRuns] = {}
    for task in tasks:
        for share in task:
            how = share.how
            way = ways.get((how.path, how.executor), PlannedRuns(how.path, how.executor, how.why, 0, 0))
            ways[how.path, how.executor] = replace(way, runs=way.runs + len(share.members), cohorts=way.cohorts + 1)
        for path, executor in {(share.how.path, share.how.executor) for share in task}:
            if task_seconds(task[0].members[0].asked["executor"]) is not None:
                way = ways[path, executor]
                ways[path, executor] = replace(way, jobs=(way.jobs or 0) + 1)
    members = [member for task in tasks for share in task for member in share.members]
    return SweepPlan(
        {member.record.id: member.record.name for member in members},
        frozenset(member.record.folder.parent for member in members),
        tuple(ways.values()),
    )


def _executor(name: str, member: RunSpec) -> Executor:
    """The executor that a group was given: as it was asked for, or with its defaults."""
    node = member.asked["executor"]
    if node[KEY] == AUTO or node[KEY] != name:
        node = default_node(catalogue.current(), "executor", name)
    if node.get("accelerator") == AUTO and member.device == "cpu":
        node = node | {"accelerator": "cpu"}  # there may be a GPU that these runs do not use
    found: Executor = component("executor", node, jobs=count(member.values["jobs"]))
    return found
