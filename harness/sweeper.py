"""Many runs: every job is checked before the first is trained."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor

from harness import catalogue
from harness.app import Job
from harness.kinds import AUTO, KINDS
from harness.load_data import Loader
from harness.prepare import prepare
from harness.record import Record
from harness.resolve import default_node
from harness.runner import train
from harness.schema import KEY
from harness.watching import tell


def train_all(jobs: Sequence[Job], first: int = 0) -> list[Record]:
    """Trains jobs in their order, and returns their records. Nothing is written before all have passed their checks.

    `first` is the place of the first job in the whole sweep. Jobs of one identity are trained once. With fail_fast
    the sweep ends at the first failed run, and the records are those so far.
    """
    loader = Loader()
    for job in jobs:
        prepare(job, loader)
    records: list[Record] = []
    if not jobs:
        return records
    with _executor(jobs[0]) as executor:
        for place, job in enumerate(jobs):
            record = executor.submit(train, job, None, loader).result()
            records.append(record)
            tell(first + place, first + len(jobs), record)
            if record.status == "failed" and job.settings.fail_fast:
                break
    return records


def _executor(job: Job) -> Executor:
    from harness.build import component

    node = job.values["executor"]
    if node[KEY] == AUTO:
        node = default_node(catalogue.current(), "executor", KINDS["executor"].auto or "")
    workers = job.settings.jobs
    found: Executor = component("executor", node, jobs=1 if workers == "auto" else workers)
    return found
