"""Sees the tasks of a sweep through, over workers that may die and beside other launchers, until all have records."""

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
from harness.system.errors import CannotWrite, HarnessError, beside, one_line
from harness.system.signals import reason

ATTEMPTS = 2  # of a run whose worker dies
RETURNS = 10  # of a run that workers find held, and this process does not: they may see other processes
POLL_S = 0.5  # between two looks at runs that another process trains
GOING_S = 5.0  # that workers may take to end when they are killed
LOOK_S = 0.02

Done = Callable[[RunSpec, Record], None]
Task = tuple[WorkItem, ...]  # what a worker does at a time: shares, one after another


@dataclass
class _Task:
    shares: Task
    attempts: int = 0
    told: set[str] = field(default_factory=set)  # runs of it whose end is known before its own

    def members(self) -> Iterator[tuple[WorkItem, RunSpec]]:
        """Its runs, in the order in which they are trained."""
        return ((share, member) for share in self.shares for member in share.members)


class TaskQueue:
    """Hands tasks to an executor, and calls `done` with each run's record. With `fail_fast`, ends at a failed one."""

    def __init__(self, executor: Executor, workers: int, done: Done, fail_fast: bool = False) -> None:
        self.executor, self.done, self.fail_fast = executor, done, fail_fast
        self.most = 2 * workers  # submitted at a time: every worker has its next, and few are watched
        self.running: dict[Future[list[Outcome]], _Task] = {}
        self.elsewhere: dict[str, tuple[RunSpec, WorkItem]] = {}
        self.returns: Counter[str] = Counter()  # how often a worker has found a run held
        self.refused: HarnessError | None = None  # the first share's that could not be begun, or not be recorded
        self.stopped = False
        self.machine_failed = False  # then runs that were begun may end, and no other is begun

    def run(self, tasks: Sequence[Task]) -> None:
        """Raises KeyboardInterrupt after every run that was begun has been recorded.

        A share that cannot be begun (its sources changed, its folder cannot be written) does not end the others:
        `refused` tells of it. After a fault of the machine (its disk is full), which `refused` then tells, no further
        task is begun.
        """
        queue = deque(_Task(task) for task in tasks)
        try:
            while (queue or self.running or self.elsewhere) and not self.stopped:
                while queue and len(self.running) < self.most and not self.stopped and not self.machine_failed:
                    self._submit(queue.popleft())
                    queue.extend(self._collect(timeout=0))
                queue.extend(self._collect(timeout=POLL_S))
                self._look_inside()
                if self.machine_failed:
                    self._begin_no_more(queue)
                if not queue and not self.running:
                    queue.extend(self._look_elsewhere())
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            self._abandon(*(reason(error) if interrupted else _told(error)))
            raise
        if self.running:
            self._abandon("FailFast", FAIL_FAST)

    def _submit(self, task: _Task) -> None:
        future = self.executor.submit(train_task, task.shares, os.getpid())
        self.running[future] = task

    def _collect(self, timeout: float) -> Iterator[_Task]:
        """Takes what has ended, and yields what must be tried again."""
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
            for share, outcome in zip(task.shares, outcomes, strict=False):  # fewer, where one ended the sweep
                yield from self._take(replace(task, shares=(share,)), outcome)

    def _take(self, task: _Task, outcome: Outcome) -> Iterator[_Task]:
        """Takes the outcome of a task of one share, or what ended a task as a whole."""
        if isinstance(outcome, HarnessError):
            self.refused = self.refused or outcome
            self.stopped |= self.fail_fast
            self.machine_failed |= isinstance(outcome, CannotWrite) and machine_fault(outcome) is not None
            return
        if isinstance(outcome, Exception):
            yield from self._lost(task, outcome)
            return
        for (share, member), record in zip(task.members(), outcome, strict=True):
            if record is None:
                self.elsewhere[member.record.id] = (member, share)
                self.returns[member.record.id] += 1
            elif member.record.id not in task.told:
                self._tell(member, record)

    def _look_inside(self) -> None:
        """Tells of the runs that have ended in tasks of several shares, which may go on for hours."""
        for task in self.running.values():
            for share, member in task.members() if len(task.shares) > 1 else ():
                if member.record.id in task.told:
                    continue
                record = read(member.record.folder)
                if not _ours(record, share) or record.status == "running":
                    break  # those after it have not begun
                task.told.add(member.record.id)
                self._tell(member, record)

    def _tell(self, member: RunSpec, record: Record) -> None:
        self.done(member, record)
        if self.fail_fast and record.status == "failed":
            self.stopped = True
        if blames_machine(record):
            self.machine_failed = True
            self.refused = self.refused or MachineFault(machine_line(record))

    def _begin_no_more(self, queue: deque[_Task]) -> None:
        queue.clear()
        self.elsewhere.clear()
        for future, task in list(self.running.items()):
            begun = any(_ours(read(member.record.folder), share) for share, member in task.members())
            if not begun and future.cancel():
                del self.running[future]

    def _lost(self, task: _Task, error: Exception) -> Iterator[_Task]:
        """A task's worker has died. What it had finished counts; the share that it was training is tried again, in
        halves: the run that kills its worker is found so, and costs the others no more than that. Shares that it had
        not begun are a task again.
        """
        rest: list[WorkItem] = []
        for share in task.shares:
            left = list(self._left(share, task.told))
            if left:
                rest.append(replace(share, members=tuple(left)))
        if not rest:
            return
        fault = machine_fault(error)
        if fault is not None or not died(error):
            told = (*_told(error), "failed") if fault is None else (MACHINE_FAULT, fault, "interrupted")
            for _, member in _Task(tuple(rest)).members():
                self._tell(member, write_failure(member.record, *told))
            return
        share, left = rest[0], list(rest[0].members)
        if len(left) > 1:
            middle = (len(left) + 1) // 2
            for half in (left[:middle], left[middle:]):
                yield _Task((replace(share, members=tuple(half)),), ATTEMPTS - 1 if len(half) == 1 else 0)
        elif task.attempts + 1 < ATTEMPTS:
            yield _Task((share,), task.attempts + 1)
        else:
            message = f"its worker died, {ATTEMPTS} times: {one_line(error)}"
            begun = read(left[0].record.folder)
            record = begun if _ours(begun, share) else left[0].record
            self._tell(left[0], write_failure(record, "WorkerDied", message))
        if len(rest) > 1:
            yield _Task(tuple(rest[1:]))

    def _left(self, share: WorkItem, told: set[str]) -> Iterator[RunSpec]:
        """Yields the runs of a share whose worker has died that are to be trained again, and tells of the others."""
        for member in share.members:
            if member.record.id in told:
                continue
            record = read(member.record.folder)
            if _ours(record, share) and record.status != "running":
                self._tell(member, record)
            elif alive(member.record.folder.parent, member.record.id):
                self.elsewhere[member.record.id] = (member, share)  # another launcher's
            else:
                yield member

    def _look_elsewhere(self) -> Iterator[_Task]:
        """Runs that another process had: done there, or ours to train since it is gone.

        A worker on another host may see that the process lives, which seems to be gone from here. Such a run is handed
        out a number of times, and then refused.
        """
        orphans: dict[int, tuple[WorkItem, list[RunSpec]]] = {}
        for run, (member, share) in list(self.elsewhere.items()):
            if alive(member.record.folder.parent, run):
                continue
            del self.elsewhere[run]
            if self.returns[run] >= RETURNS:
                file = beside(folder_of(member.record.folder.parent) / f"{run}.json")
                self.refused = self.refused or HarnessError(
                    f"{member.record.name} is held by a process that its worker sees and this one does not: end that "
                    f"process, or remove {file}; the same line then trains the run"
                )
                continue
            orphans.setdefault(id(share.how), (share, []))[1].append(member)
        if not orphans and self.elsewhere:
            time.sleep(POLL_S)
        for share, members in orphans.values():
            yield _Task((replace(share, members=tuple(members)),))

    def _abandon(self, kind: str, message: str) -> None:
        """The launch ends before its runs: workers are stopped, and what they were training is recorded."""
        for future in self.running:
            future.cancel()
        kill = getattr(self.executor, "kill", None)
        if callable(kill):
            kill()
        until = time.monotonic() + GOING_S
        for task in self.running.values():
            for share, member in task.members():
                study, id = member.record.folder.parent, member.record.id
                record = read(member.record.folder)
                if not _ours(record, share) or record.status != "running":
                    continue
                while (held := alive(study, id)) and time.monotonic() < until:
                    time.sleep(LOOK_S)
                record = read(member.record.folder) or record  # it may have ended in between
                if record.status == "running" and not held:
                    write_failure(record, kind, message, "interrupted")


def _ours(record: Record | None, share: WorkItem) -> TypeGuard[Record]:
    """Whether a record was written by this launch, of a share of its own."""
    return record is not None and record.cohort.get("sweep") == share.how.sweep


def _told(error: BaseException) -> tuple[str, str]:
    return type(error).__name__, str(error)
