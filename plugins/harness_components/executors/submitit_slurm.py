"""SLURM by submitit: a job for each task, watched by one thread."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import psutil

from harness import workers
from harness_components.executors.base import Killable

if TYPE_CHECKING:
    import submitit

ASK_S = 30.0  # seconds between two queries of SLURM, for all jobs
LOOK_S = 1.0  # seconds between two checks for results
LOOK_LOCAL_S = 0.05
PATIENCE_S = 15.0  # seconds until a result may be visible on a shared file system after its job has ended


class Submitit(Killable):
    """An executor over submitit's, with at most `jobs` tasks in progress.

    A future is pending until its job has ended, because a job can be cancelled until then.
    """

    def __init__(self, cluster: submitit.Executor, jobs: int, local: bool) -> None:
        self._cluster, self._jobs, self._local = cluster, jobs, local
        self._waiting: deque[tuple[Future[Any], bytes]] = deque()
        self._under_way: dict[Future[Any], submitit.Job[Any]] = {}
        self._missing: dict[Future[Any], float] = {}  # time at which a job was seen to have ended without a result
        self._lock, self._wake, self._closed = threading.Lock(), threading.Event(), False
        self._asked = time.monotonic()
        self._thread = threading.Thread(target=self._watch_jobs, name="submitit", daemon=True)
        with workers.no_interrupts():
            self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a task, a module-level function with plain arguments; cancelling its future cancels its job."""
        future: Future[Any] = Future()
        task = workers.pack(fn, args, kwargs)
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append((future, task))
        self._wake.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more tasks; wait for the submitted ones, or cancel those that are not jobs yet."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
        for future, _ in waiting if cancel_futures else []:
            future.cancel()
        self._wake.set()
        if wait:
            self._thread.join()

    def kill(self) -> None:
        """Cancel every job and every task."""
        self.shutdown(wait=False, cancel_futures=True)
        for future in list(self._under_way):
            future.cancel()
        self._wake.set()

    def _watch_jobs(self) -> None:
        while not (self._closed and not self._waiting and not self._under_way):
            self._wake.wait((LOOK_LOCAL_S if self._local else LOOK_S) if self._under_way else None)
            self._wake.clear()
            ask = time.monotonic() - self._asked > ASK_S
            for future, job in list(self._under_way.items()):
                try:
                    over = self._look(future, job, ask)
                except Exception as error:  # a folder that is gone, a command that fails
                    over = True
                    _finish(future, error=error)
                if over:
                    del self._under_way[future]
                    self._missing.pop(future, None)
                if ask:  # one query covers all jobs
                    ask, self._asked = False, time.monotonic()
            self._start()

    def _start(self) -> None:
        for future, _ in [entry for entry in self._waiting if entry[0].cancelled()]:
            future.set_running_or_notify_cancel()
        with self._lock:
            self._waiting = deque(entry for entry in self._waiting if not entry[0].cancelled())
        while self._waiting and len(self._under_way) < self._jobs:
            future, task = self._waiting.popleft()
            try:
                self._under_way[future] = self._cluster.submit(_work, sys.path, task)
            except Exception as error:  # the queue refuses it
                _finish(future, error=error)

    def _look(self, future: Future[Any], job: submitit.Job[Any], ask: bool) -> bool:
        """Pass on a job's result or failure; return True if the job needs no further attention."""
        if future.cancelled():
            return self._cancel(future, job)
        if not job.done(force_check=ask):
            return False
        if job.paths.result_pickle.exists():
            value, error = job.result()
            _clear(job, logs=error is None)
            _finish(future, value, error)
            return True
        since = self._missing.setdefault(future, time.monotonic())
        if not self._local and time.monotonic() - since < PATIENCE_S:
            return False
        from submitit.core.utils import UncompletedJobError

        text = f"job {job.job_id} ended without a result ({job.state}); its log is {job.paths.stderr}"
        raise UncompletedJobError(text)

    def _cancel(self, future: Future[Any], job: submitit.Job[Any]) -> bool:
        if future not in self._missing:
            self._missing[future] = time.monotonic()
            future.set_running_or_notify_cancel()
            if self._local:
                _end(int(job.job_id))
            else:
                job.cancel(check=False)
        return not self._local or job.done()  # a local job is a child of ours, to be waited for


def _finish(future: Future[Any], value: Any = None, error: BaseException | None = None) -> None:
    if not future.cancelled() and future.set_running_or_notify_cancel():
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _clear(job: submitit.Job[Any], logs: bool) -> None:
    """Remove a job's files, which a later job of the same number could take for its own."""
    files = [job.paths.result_pickle, job.paths.submitted_pickle]
    for path in files + ([job.paths.stdout, job.paths.stderr] if logs else []):
        with contextlib.suppress(OSError):
            path.unlink()


def _end(pid: int) -> None:
    """Kill a local job: cancelling only interrupts it, which it may ignore."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            one.kill()


def own_folder(folder: str) -> Path:
    """Return a folder for this executor alone: the numbers of local jobs repeat."""
    return Path(folder).expanduser() / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6}"


# In the job


def _work(path: list[str], task: bytes) -> tuple[Any, Exception | None]:
    """Run a task; return its exception, of which submitit would send only the text."""
    sys.path.extend(entry for entry in path if entry not in sys.path)
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # of POSIX, as Slurm is
        if callable(handler := signal.getsignal(number)):
            signal.signal(number, functools.partial(_end_job, handler))
    try:
        return workers.perform(task), None
    except Exception as error:
        error.add_note(f"in the job:\n{traceback.format_exc()}")
        return None, error


def _end_job(handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
    """Exit the process on a time limit or preemption.

    Submitit's handler raises an error wherever the program is, which a run would catch and record as its failure.
    """
    try:
        handler(number, frame)
    except SystemExit as error:
        os._exit(error.code & 0xFF if isinstance(error.code, int) else 1)
    except Exception:
        os._exit(1)
