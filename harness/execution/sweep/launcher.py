"""Hand the tasks of a sweep to workers until every run has a record.

Workers may die, and other launchers may train runs of the same study.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from harness.execution.locks.lock_file import folder_of
from harness.execution.locks.run_lock import alive
from harness.execution.preparation import RunSpec
from harness.execution.run_recorder import FAIL_FAST, write_failure
from harness.execution.sweep.strategy import WorkItem
from harness.execution.sweep.worker import Outcome, train_task
from harness.execution.workers import died
from harness.results.machine_faults import MACHINE_FAULT, MachineFault, blames_machine, machine_fault, machine_line
from harness.results.record import Record, read
from harness.system.errors import CannotWrite, HarnessError, one_line, short_path
from harness.system.signals import reason

ATTEMPTS = 2  # at a run whose worker dies
RETURNS = 10  # of a run that workers find locked, and this process does not: they may see other processes
POLL_S = 0.5  # between two checks of the runs that another process trains
KILL_S = 5.0  # that killed workers may take to end
KILL_POLL_S = 0.02

OnRecord = Callable[[RunSpec, Record], None]
Task = tuple[WorkItem, ...]  # handed to a worker at once, which trains the items one after another


@dataclass
class _Task:
    items: Task
    attempts: int = 0
    reported: set[str] = field(default_factory=set)  # IDs of runs that were reported while the task went on

    def runs(self) -> Iterator[tuple[WorkItem, RunSpec]]:
        """Yield the runs in the order in which they are trained, each with its item."""
        return ((item, spec) for item in self.items for spec in item.specs)


class TaskQueue:
    """Submit tasks to an executor, and report the record of every run.

    Args:
        executor: The executor.
        workers: The number of its workers.
        on_record: Called with each run and its record.
        fail_fast: Stop at the first failed run.
    """

    def __init__(self, executor: Executor, workers: int, on_record: OnRecord, fail_fast: bool = False) -> None:
        self.executor, self.on_record, self.fail_fast = executor, on_record, fail_fast
        self.max_submitted = 2 * workers  # every worker has its next task, and few futures are waited for
        self.running: dict[Future[list[Outcome]], _Task] = {}
        self.elsewhere: dict[str, tuple[RunSpec, WorkItem]] = {}
        self.returns: Counter[str] = Counter()  # by run ID: how often a worker has found the run locked
        self.error: HarnessError | None = None  # of the first item that could not be begun or recorded
        self.stopped = False
        self.machine_failed = False  # runs that were begun may end, and no other is begun

    def run(self, tasks: Sequence[Task]) -> None:
        """Run tasks until every run has a record.

        An item that cannot be begun (its sources changed, its folder cannot be written) does not end the others; its
        exception is kept in `error`. After a fault of the machine (its disk is full) no further task is begun, and
        `error` holds the fault.

        Raises:
            KeyboardInterrupt: After every run that was begun has been recorded.
        """
        queue = deque(_Task(task) for task in tasks)
        try:
            while (queue or self.running or self.elsewhere) and not self.stopped:
                while queue and len(self.running) < self.max_submitted and not self.stopped and not self.machine_failed:
                    self._submit(queue.popleft())
                    queue.extend(self._collect(timeout=0))
                queue.extend(self._collect(timeout=POLL_S))
                self._report_ended()
                if self.machine_failed:
                    self._cancel_unstarted(queue)
                if not queue and not self.running:
                    queue.extend(self._orphans())
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            self._abandon(*(reason(error) if interrupted else _kind_and_message(error)))
            raise
        if self.running:
            self._abandon("FailFast", FAIL_FAST)

    def _submit(self, task: _Task) -> None:
        future = self.executor.submit(train_task, task.items, os.getpid())
        self.running[future] = task

    def _collect(self, timeout: float) -> Iterator[_Task]:
        """Handle the tasks that have ended, and yield those that must be tried again."""
        if not self.running:
            return
        ended, _ = wait(self.running, timeout=timeout, return_when=FIRST_COMPLETED)
        for future in ended:
            task = self.running.pop(future)
            try:
                outcomes = future.result()
            except Exception as error:
                yield from self._take(task, error)
                continue
            for item, outcome in zip(task.items, outcomes, strict=False):  # fewer if one ended the task
                yield from self._take(replace(task, items=(item,)), outcome)

    def _take(self, task: _Task, outcome: Outcome) -> Iterator[_Task]:
        """Handle the outcome of a task of one item, or the exception that ended a whole task."""
        if isinstance(outcome, HarnessError):
            self.error = self.error or outcome
            self.stopped |= self.fail_fast
            self.machine_failed |= isinstance(outcome, CannotWrite) and machine_fault(outcome) is not None
            return
        if isinstance(outcome, Exception):
            yield from self._lost(task, outcome)
            return
        for (item, spec), record in zip(task.runs(), outcome, strict=True):
            if record is None:
                self.elsewhere[spec.record.id] = (spec, item)
                self.returns[spec.record.id] += 1
            elif spec.record.id not in task.reported:
                self._report(spec, record)

    def _report_ended(self) -> None:
        """Report the runs that have ended in tasks of several items, which may go on for hours."""
        for task in self.running.values():
            for item, spec in task.runs() if len(task.items) > 1 else ():
                if spec.record.id in task.reported:
                    continue
                record = read(spec.record.folder)
                if not _ours(record, item) or record.status == "running":
                    break  # the runs after it have not begun
                task.reported.add(spec.record.id)
                self._report(spec, record)

    def _report(self, spec: RunSpec, record: Record) -> None:
        self.on_record(spec, record)
        if self.fail_fast and record.status == "failed":
            self.stopped = True
        if blames_machine(record):
            self.machine_failed = True
            self.error = self.error or MachineFault(machine_line(record))

    def _cancel_unstarted(self, queue: deque[_Task]) -> None:
        queue.clear()
        self.elsewhere.clear()
        for future, task in list(self.running.items()):
            begun = any(_ours(read(spec.record.folder), item) for item, spec in task.runs())
            if not begun and future.cancel():
                del self.running[future]

    def _lost(self, task: _Task, error: Exception) -> Iterator[_Task]:
        """Handle a task whose worker has died, or which ended with an exception.

        Runs that had finished count. The item that was being trained is tried again in halves, which finds the run
        that kills its worker at little cost to the others. Items that were not begun become a task again.
        """
        rest: list[WorkItem] = []
        for item in task.items:
            left = list(self._left(item, task.reported))
            if left:
                rest.append(replace(item, specs=tuple(left)))
        if not rest:
            return
        fault = machine_fault(error)
        if fault is not None or not died(error):
            ended = (*_kind_and_message(error), "failed") if fault is None else (MACHINE_FAULT, fault, "interrupted")
            for _, spec in _Task(tuple(rest)).runs():
                self._report(spec, write_failure(spec.record, *ended))
            return
        item, left = rest[0], list(rest[0].specs)
        if len(left) > 1:
            middle = (len(left) + 1) // 2
            for half in (left[:middle], left[middle:]):
                yield _Task((replace(item, specs=tuple(half)),), ATTEMPTS - 1 if len(half) == 1 else 0)
        elif task.attempts + 1 < ATTEMPTS:
            yield _Task((item,), task.attempts + 1)
        else:
            message = f"its worker died, {ATTEMPTS} times: {one_line(error)}"
            begun = read(left[0].record.folder)
            record = begun if _ours(begun, item) else left[0].record
            self._report(left[0], write_failure(record, "WorkerDied", message))
        if len(rest) > 1:
            yield _Task(tuple(rest[1:]))

    def _left(self, item: WorkItem, reported: set[str]) -> Iterator[RunSpec]:
        """Yield the runs of an item whose worker has died that must be trained again, and report the others."""
        for spec in item.specs:
            if spec.record.id in reported:
                continue
            record = read(spec.record.folder)
            if _ours(record, item) and record.status != "running":
                self._report(spec, record)
            elif alive(spec.record.folder.parent, spec.record.id):
                self.elsewhere[spec.record.id] = (spec, item)  # another launcher trains it
            else:
                yield spec

    def _orphans(self) -> Iterator[_Task]:
        """Yield the runs that another process had begun and no longer trains. They may be completed by now.

        A worker on another host may see that the process lives, while it seems to have ended from here. Such a run is
        handed out RETURNS times, and then refused.
        """
        orphans: dict[int, tuple[WorkItem, list[RunSpec]]] = {}
        for run_id, (spec, item) in list(self.elsewhere.items()):
            if alive(spec.record.folder.parent, run_id):
                continue
            del self.elsewhere[run_id]
            if self.returns[run_id] >= RETURNS:
                file = short_path(folder_of(spec.record.folder.parent) / f"{run_id}.json")
                self.error = self.error or HarnessError(
                    f"{spec.record.name} is held by a process that its worker sees and this one does not: end that "
                    f"process, or remove {file}; the same line then trains the run"
                )
                continue
            orphans.setdefault(id(item.plan), (item, []))[1].append(spec)
        if not orphans and self.elsewhere:
            time.sleep(POLL_S)
        for item, specs in orphans.values():
            yield _Task((replace(item, specs=tuple(specs)),))

    def _abandon(self, kind: str, message: str) -> None:
        """Kill the workers of a launch that ends before its runs, and record the runs as interrupted."""
        for future in self.running:
            future.cancel()
        kill = getattr(self.executor, "kill", None)
        if callable(kill):
            kill()
        deadline = time.monotonic() + KILL_S
        for task in self.running.values():
            for item, spec in task.runs():
                study, run_id = spec.record.folder.parent, spec.record.id
                record = read(spec.record.folder)
                if not _ours(record, item) or record.status != "running":
                    continue
                while (held := alive(study, run_id)) and time.monotonic() < deadline:
                    time.sleep(KILL_POLL_S)
                record = read(spec.record.folder) or record  # it may have ended meanwhile
                if record.status == "running" and not held:
                    write_failure(record, kind, message, "interrupted")


def _ours(record: Record | None, item: WorkItem) -> TypeGuard[Record]:
    """Return True if this launch wrote the record."""
    return record is not None and record.cohort.get("sweep") == item.plan.sweep


def _kind_and_message(error: BaseException) -> tuple[str, str]:
    return type(error).__name__, str(error)
