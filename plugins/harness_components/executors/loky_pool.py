"""Local processes: a loky pool of one worker for each place, so that a dying worker loses its own task alone.

Workers are forked where possible, which starts them at once with everything that the launcher has imported and loaded.
Replacements of dead workers, and workers with a GPU, start as new processes.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import multiprocessing
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import psutil

from harness import workers
from harness_components._compat import keep_growing_workers
from harness_components.executors.base import Threaded

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

_starts = threading.Lock()
KILL_S = 1.0  # seconds for loky to kill a worker
ORPHAN_S = 0.5  # seconds between two checks that the launcher is alive
Surroundings = tuple[str, list[str], dict[str, str]]  # working folder, module search path, environment


class Worker:
    """A place for one worker process, started on first use and again after its death."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self._pool: ProcessPoolExecutor | None = None
        self._fork = environment.get("CUDA_VISIBLE_DEVICES") == "" and workers.can_fork() and not workers.edited()
        self._lock = threading.Lock()  # between running and killing
        self._workers: list[BaseProcess] = []  # of the pool

    def run(self, task: bytes, killed: threading.Event) -> Any:
        """Run a task; raise its exception, or BrokenProcessPool if the worker dies."""
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
        """Kill the worker now."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            with _unlogged():
                pool.shutdown(wait=False, kill_workers=True)
                for worker in self._workers:
                    worker.join(KILL_S)
            _kill(self._workers)

    def _submit(self, task: bytes) -> Future[Any]:
        surroundings = (os.getcwd(), list(sys.path), {**os.environ, **self.environment})
        if self._pool is not None:
            # a worker that died since its last task is replaced
            with contextlib.suppress(BrokenProcessPool):
                return self._pool.submit(_work, surroundings, task)
        fork, self._fork = self._fork, False
        # one at a time: a fork would inherit the half-open pipes of another start
        with workers.no_interrupts(), workers.safe_path(), _starts:
            self._pool = self._new_pool(fork)  # loky starts a process of its own for the pool's locks
            before = multiprocessing.active_children()
            try:
                with workers.forking() if fork else contextlib.nullcontext():
                    return self._pool.submit(_work, surroundings, task)
            finally:
                self._workers = [child for child in multiprocessing.active_children() if child not in before]
                atexit.register(_kill, self._workers)

    def _new_pool(self, fork: bool) -> ProcessPoolExecutor:
        from loky import ProcessPoolExecutor

        context = multiprocessing.get_context("fork") if fork else None
        begin = functools.partial(_begin, os.getpid(), fork)
        return ProcessPoolExecutor(1, context=context, initializer=begin, env=self.environment)


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Without the traceback that loky logs where it cannot open the file that killing a worker takes."""
    logger = logging.getLogger("concurrent.futures")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _kill(workers: list[BaseProcess]) -> None:
    """Kill workers that loky has left alive, which happens when too many files are open.

    The exit of the process would wait for them.
    """
    for worker in workers:
        if worker.is_alive() and worker.pid is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                psutil.Process(worker.pid).kill()


class WorkerPool:
    """Workers that stay for the next sweep: importing torch takes them seconds."""

    def __init__(self, environments: list[dict[str, str]]) -> None:
        self.environments, self.pid = environments, os.getpid()
        self._sources, self._offered = workers.sources_held(), workers.offered()
        self.free: queue.LifoQueue[Worker] = queue.LifoQueue()  # the one used last is warm
        for environment in reversed(environments):
            self.free.put(Worker(environment))

    def serves(self, environments: list[dict[str, str]]) -> bool:
        """Return True if the workers have these environments, and the current code and plugins."""
        now = workers.sources_held()
        same = all(now.get(k) == v for k, v in self._sources.items()) and self._offered == workers.offered()
        return same and self.environments == environments


class Loky(Threaded):
    """An executor over a worker pool, which it leaves running."""

    def __init__(self, environments: list[dict[str, str]]) -> None:
        super().__init__(len(environments))
        self._pool = WARM.take(environments)
        self._killed = threading.Event()
        self._busy: set[Worker] = set()

    def kill(self) -> None:
        """Kill running tasks and their workers, and cancel the others."""
        self._killed.set()
        self.shutdown(wait=False, cancel_futures=True)
        for worker in list(self._busy):
            worker.kill()

    def _run(self, task: bytes) -> Any:
        worker = self._pool.free.get()
        self._busy.add(worker)
        try:
            return worker.run(task, self._killed)
        finally:
            self._busy.discard(worker)
            self._pool.free.put(worker)


class WarmPool:
    """The pool of this process, which one sweep leaves to the next."""

    def __init__(self) -> None:
        self.pool: WorkerPool | None = None
        self.inherited: list[WorkerPool] = []  # from the process that this one was forked from: not ours to end
        self.lock = threading.Lock()

    def take(self, environments: list[dict[str, str]]) -> WorkerPool:
        """Return the pool; workers that no longer fit end when no executor uses them."""
        with self.lock:
            if self.pool is not None and self.pool.pid != os.getpid():
                self.inherited.append(self.pool)
                self.pool = None
            if self.pool is None or not self.pool.serves(environments):
                self.pool = WorkerPool(environments)
            return self.pool


WARM = WarmPool()


# In the worker


def _begin(launcher: int, forked: bool) -> None:
    """Initialize a worker: it ends with its launcher, and does not restart when its memory grows."""
    if forked:
        workers.restore_default_handlers()
        workers.settle()
    keep_growing_workers()
    threading.Thread(target=_watch, args=(launcher,), name="watch", daemon=True).start()


def _watch(launcher: int) -> None:
    # Not by PR_SET_PDEATHSIG, which follows the thread that started us, nor by a pipe, which the launcher's other
    # children keep open
    while os.getppid() == launcher:
        time.sleep(ORPHAN_S)
    os._exit(1)


_surroundings: list[Surroundings] = [("", [], {})]  # the last entry: of the task before


def _work(surroundings: Surroundings, task: bytes) -> Any:
    """Run a task in the launcher's current folder and environment, which may have changed since the worker started."""
    folder, path, environment = surroundings
    before = _surroundings.pop()
    _surroundings.append(surroundings)
    if folder != before[0]:
        os.chdir(folder)
    if path != before[1]:
        sys.path[:] = path
    for name in before[2].keys() - environment.keys():
        os.environ.pop(name, None)
    os.environ.update({k: v for k, v in environment.items() if before[2].get(k) != v})
    return workers.perform(task)
