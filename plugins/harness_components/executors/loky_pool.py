"""Local processes: a loky pool of one worker for each place, so that a worker that dies takes no other task with it.

Where it can be, a worker is forked: it begins at once, with what its launcher has imported and loaded. One that takes a
dead one's place, or that has a GPU, is started afresh.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from harness import workers
from harness_components._compat import keep_growing_workers
from harness_components.executors.base import Threaded

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

_starts = threading.Lock()
KILL_S = 1.0  # that loky may take to kill a worker
ORPHAN_S = 0.5  # how long a worker may outlive its launcher
Surroundings = tuple[str, list[str], dict[str, str]]  # working folder, module search path, environment


class Worker:
    """A place for one worker, which is started when it is first needed, and again after its death."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._pool: ProcessPoolExecutor | None = None
        self._fork = environment.get("CUDA_VISIBLE_DEVICES") == "" and workers.can_fork() and not workers.edited()
        self._lock = threading.Lock()  # between running and killing
        self._workers: list[BaseProcess] = []  # of the pool

    def run(self, task: bytes, killed: threading.Event) -> Any:
        """Does a task. Raises what the task raises, BrokenProcessPool if the worker dies."""
        with self._lock:
            if killed.is_set():
                raise CancelledError
            future = self._submit(task)
        try:
            return future.result()
        except BrokenProcessPool:
            self._pool = None
            raise

    def kill(self) -> None:
        """Ends the worker now, whatever it does."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, kill_workers=True)
            for worker in self._workers:
                worker.join(KILL_S)
            _kill(self._workers)

    def _submit(self, task: bytes) -> Future[Any]:
        surroundings = (os.getcwd(), list(sys.path), {**os.environ, **self.environment})
        if self._pool is not None:
            # one that died since its last task is no fault of this one
            with contextlib.suppress(BrokenProcessPool):
                return self._pool.submit(_work, surroundings, task)
        fork, self._fork = self._fork, False
        # one at a time: another's pipes, half made, would be inherited
        with workers.no_interrupts(), workers.safe_path(), _starts:
            self._pool = self._started(fork)  # loky starts a process of its own for the pool's locks
            before = multiprocessing.active_children()
            try:
                with workers.forking() if fork else contextlib.nullcontext():
                    return self._pool.submit(_work, surroundings, task)
            finally:
                self._workers = [child for child in multiprocessing.active_children() if child not in before]
                atexit.register(_kill, self._workers)

    def _started(self, fork: bool) -> ProcessPoolExecutor:
        from loky import ProcessPoolExecutor

        context = multiprocessing.get_context("fork") if fork else None
        begin = functools.partial(_begin, os.getpid(), fork)
        return ProcessPoolExecutor(1, context=context, initializer=begin, env=self.environment)


def _kill(workers: list[BaseProcess]) -> None:
    """Kills the workers that loky has left alive: it needs a file for that, and there may be too many open.

    The end of a process would wait for them.
    """
    for worker in workers:
        if worker.is_alive() and worker.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)


class WorkerPool:
    """The seats of one sweep after another: their workers have imported torch, which takes seconds."""

    def __init__(self, environments: list[dict[str, str]]) -> None:
        self.environments, self.pid = environments, os.getpid()
        self._sources, self._offered = workers.sources_held(), workers.offered()
        self.free: queue.LifoQueue[Worker] = queue.LifoQueue()  # the one used last is warm
        for environment in reversed(environments):
            self.free.put(Worker(environment))

    def serves(self, environments: list[dict[str, str]]) -> bool:
        """Whether workers of these environments, and of the code and the plugins as they stand now, are here."""
        now = workers.sources_held()
        same = all(now.get(k) == v for k, v in self._sources.items()) and self._offered == workers.offered()
        return same and self.environments == environments


class Loky(Threaded):
    """An executor over seats, which it leaves to the next one."""

    def __init__(self, environments: list[dict[str, str]]) -> None:
        super().__init__(len(environments))
        self._seats = _warm(environments)
        self._killed = threading.Event()
        self._busy: set[Worker] = set()

    def kill(self) -> None:
        """Ends running tasks and their workers at once, and cancels the others."""
        self._killed.set()
        self.shutdown(wait=False, cancel_futures=True)
        for seat in list(self._busy):
            seat.kill()

    def _run(self, task: bytes) -> Any:
        seat = self._seats.free.get()
        self._busy.add(seat)
        try:
            return seat.run(task, self._killed)
        finally:
            self._busy.discard(seat)
            self._seats.free.put(seat)


_seats: WorkerPool | None = None
_others: list[WorkerPool] = []  # of the process that this one was forked from: not ours to end
_lock = threading.Lock()


def _warm(environments: list[dict[str, str]]) -> WorkerPool:
    """This process's seats; workers that no longer fit end when no executor uses them."""
    global _seats
    with _lock:
        if _seats is not None and _seats.pid != os.getpid():
            _others.append(_seats)
            _seats = None
        if _seats is None or not _seats.serves(environments):
            _seats = WorkerPool(environments)
        return _seats


# In the worker


def _begin(launcher: int, forked: bool) -> None:
    """A worker's first act: it ends with its launcher, and is not started afresh for the memory that it holds."""
    if forked:
        workers.restore_default_handlers()
        workers.settle()
    keep_growing_workers()
    threading.Thread(target=_watch, args=(launcher,), name="watch", daemon=True).start()


def _watch(launcher: int) -> None:
    # Not by PR_SET_PDEATHSIG, which tells of the end of the thread that started us; nor by a pipe, which the launcher's
    # other children hold open.
    while os.getppid() == launcher:
        time.sleep(ORPHAN_S)
    os._exit(1)


_last: Surroundings = ("", [], {})


def _work(surroundings: Surroundings, task: bytes) -> Any:
    """Does a task where the launcher stands now: a warm worker may have been started elsewhere."""
    global _last
    folder, path, environment = surroundings
    before, _last = _last, surroundings
    if folder != before[0]:
        os.chdir(folder)
    if path != before[1]:
        sys.path[:] = path
    for name in before[2].keys() - environment.keys():
        os.environ.pop(name, None)
    os.environ.update({k: v for k, v in environment.items() if before[2].get(k) != v})
    return workers.perform(task)
