"""SLURM by submitit: a job for each task, seen through by one thread that asks how the jobs are."""

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

ASK_S = 30.0  # between two questions to SLURM how all jobs are
LOOK_S = 1.0  # between two looks for results
LOOK_LOCAL_S = 0.05
PATIENCE_S = 15.0  # a shared folder may show a result so long after its job has ended


class Submitit(Killable):
    """An executor over one of submitit's, of which at most `jobs` tasks are under way.

    Here a future is pending until its job has ended, since a job can be cancelled until then.
    """

    def __init__(self, cluster: submitit.Executor, jobs: int, local: bool) -> None:
        self._cluster, self._jobs, self._local = cluster, jobs, local
        self._waiting: deque[tuple[Future[Any], bytes]] = deque()
        self._under_way: dict[Future[Any], submitit.Job[Any]] = {}
        self._missing: dict[Future[Any], float] = {}  # since when a job has ended without a result
        self._lock, self._wake, self._closed = threading.Lock(), threading.Event(), False
        self._asked = time.monotonic()
        self._thread = threading.Thread(target=self._see_through, name="submitit", daemon=True)
        with workers.no_interrupts():
            self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The future of a task: a function of a module, and plain arguments. To cancel it cancels its job."""
        future: Future[Any] = Future()
        task = workers.pack(fn, args, kwargs)
        with self._lock:
            if self._closed:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append((future, task))
        self._wake.set()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks; waits for those that there are, or cancels those that are no job yet."""
        with self._lock:
            self._closed = True
            waiting = list(self._waiting)
        for future, _ in waiting if cancel_futures else []:
            future.cancel()
        self._wake.set()
        if wait:
            self._thread.join()

    def kill(self) -> None:
        """Cancels every job and every task."""
        self.shutdown(wait=False, cancel_futures=True)
        for future in list(self._under_way):
            future.cancel()
        self._wake.set()

    def _see_through(self) -> None:
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
                if ask:  # one question is answered for all jobs
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
        """Passes on a job's result, or its end; whether there is nothing more to be done about it."""
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
    """Removes what a job has left: a later one of the same number could be taken to have ended so."""
    files = [job.paths.result_pickle, job.paths.submitted_pickle]
    for path in files + ([job.paths.stdout, job.paths.stderr] if logs else []):
        with contextlib.suppress(OSError):
            path.unlink()


def _end(pid: int) -> None:
    """Kills a local job: to cancel it is to interrupt it, which it may ignore."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in [*process.children(recursive=True), process]:
            one.kill()


def own_folder(folder: str) -> Path:
    """A folder of this executor's own: numbers of local jobs come back."""
    return Path(folder).expanduser() / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}-{time.monotonic_ns() % 10**6}"


# In the job


def _work(path: list[str], task: bytes) -> tuple[Any, Exception | None]:
    """Does a task; its exception is returned, since submitit would send its text alone."""
    sys.path.extend(entry for entry in path if entry not in sys.path)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        if callable(handler := signal.getsignal(number)):
            signal.signal(number, functools.partial(_end_job, handler))
    try:
        return workers.perform(task), None
    except Exception as error:
        error.add_note(f"in the job:\n{traceback.format_exc()}")
        return None, error


def _end_job(handler: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
    """Lets a time limit or a preemption end the process. submitit's handler raises an error for that, wherever the
    program is: a run would catch it, and be recorded as failed.
    """
    try:
        handler(number, frame)
    except SystemExit as error:
        os._exit(error.code & 0xFF if isinstance(error.code, int) else 1)
    except Exception:
        os._exit(1)
