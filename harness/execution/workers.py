"""What the workers of every executor have in common: how many there are, how a task runs there, how a death is told."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import psutil

from harness.system.errors import HarnessError, one_line
from harness.system.forking import can_fork as can_fork
from harness.system.forking import forking as forking
from harness.system.forking import settle as settle
from harness.system.process_id import SAFE_PATH as SAFE_PATH
from harness.system.process_id import safe_path as safe_path
from harness.system.signals import restore_default_handlers as restore_default_handlers

# One thread a worker: to be set before the libraries that read them are loaded.
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

# By name, so that no package is imported for the asking; the nearest class of an error decides.
_DIED = {
    "concurrent.futures.process.BrokenProcessPool": True,
    "loky.process_executor.TerminatedWorkerError": True,
    "loky.process_executor.BrokenProcessPool": False,  # what came back cannot be unpickled
    "submitit.core.utils.UncompletedJobError": True,
    "submitit.core.utils.FailedJobError": False,
    "distributed.scheduler.KilledWorker": True,
    "concurrent.futures._base.CancelledError": True,  # not by us: its cluster has gone
}


class TaskEnded(RuntimeError):
    """A task wanted to end its process, as `sys.exit` does."""


class TaskError(RuntimeError):
    """An exception of a task that cannot be sent between processes: what it said, with its traceback."""


def died(error: BaseException) -> bool:
    """Whether an executor's error says that the worker died, and not that the task raised.

    >>> died(ValueError("no")), died(TaskEnded("SystemExit(1)"))
    (False, False)
    >>> from concurrent.futures.process import BrokenProcessPool
    >>> died(BrokenProcessPool("killed"))
    True
    """
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__)
    return next((_DIED[name] for name in names if name in _DIED), False)


def count(jobs: int | Literal["auto"]) -> int:
    """The number of workers: as many as asked for, or `auto`: one for each core that this process may use.

    That heeds the process's affinity, the limit of its container, and LOKY_MAX_CPU_COUNT.

    >>> count(3)
    3
    """
    if jobs != "auto":
        return jobs
    from loky import cpu_count

    return int(cpu_count())


def gpus() -> list[str]:
    """The GPUs that this process sees, by their names in CUDA_VISIBLE_DEVICES."""
    import torch

    found = torch.cuda.device_count()
    if not found and torch.backends.mps.is_available():
        return ["0"]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(found)] if named is None else [name.strip() for name in named.split(",")]
    return names[:found]


def environments(jobs: int, accelerator: Literal["auto", "cpu", "gpu"]) -> list[dict[str, str]]:
    """The environment of each worker on this machine: one thread, and a GPU of its own or none.

    `auto` is `gpu` where there is one. There are never more workers than GPUs: two would wait for each other's steps.
    Raises HarnessError for `gpu` where there is none.
    """
    found = [] if accelerator == "cpu" else gpus()
    if accelerator == "gpu" and not found:
        raise HarnessError("executor.accelerator=gpu: this process sees no GPU")
    return [{**SINGLE_THREADED, **SAFE_PATH, "CUDA_VISIBLE_DEVICES": name} for name in found[:jobs] or [""] * jobs]


@contextmanager
def no_interrupts() -> Iterator[None]:
    """A process or thread that is started inside never gets the terminal's Ctrl-C: it is the launcher's alone."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pack(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """A task as it is sent to a worker: not unpickled before `perform` can tell what is wrong with it."""
    return _dumps((function, args, kwargs))


def perform(task: bytes) -> Any:
    """Does a task in a worker: the worker outlives it, and what it raises can be sent back.

    Raises TaskEnded for what would end the process, and TaskError for an exception that cannot be sent.
    """
    try:
        function, args, kwargs = pickle.loads(task)
        return function(*args, **kwargs)
    except Exception as error:
        sent = sendable(error)
        if sent is error:
            raise
        raise sent from None
    except BaseException as error:
        raise TaskEnded(f"the task raised {error!r}") from None


def sendable(error: Exception) -> Exception:
    """Return an exception that is being handled as it can be sent between processes: itself, or else a TaskError."""
    return error if _travels(error) else TaskError(f"{one_line(error)}\n\n{traceback.format_exc()}")


def _travels(error: Exception) -> bool:
    try:
        return type(pickle.loads(_dumps(error))) is type(error)
    except Exception:
        return False


def _dumps(thing: Any) -> bytes:
    import cloudpickle

    return bytes(cloudpickle.dumps(thing))


def sources_held() -> dict[str, int]:
    """The times of the files of code that is not installed, but worked on: a warm worker holds it as it was."""
    installed = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    found = {}
    for file in files:
        if isinstance(file, str) and not file.startswith(installed):
            with contextlib.suppress(OSError):
                found[file] = os.stat(file).st_mtime_ns
    return found


def edited() -> bool:
    """Whether code was written since this process began: what it has imported may not be what the files say now."""
    began = psutil.Process().create_time() * 1e9
    return any(changed > began for changed in sources_held().values())


def offered() -> frozenset[tuple[str, str, str]]:
    """Return (kind, name, origin) of every component.

    A warm worker knows no plugin that was installed after it began.
    """
    from harness.registry import catalogue

    return frozenset((entry["kind"], entry["name"], entry["origin"]) for entry in catalogue.current())
