"""Functions for the workers of executors: their number, their environment, and how they run a task."""

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
from harness.system.signals import let_end as let_end

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
    """A task tried to end its process, as `sys.exit` does."""


class TaskError(RuntimeError):
    """The message and the traceback of an exception that cannot be sent between processes."""


def died(error: BaseException) -> bool:
    """Return True if an error of an executor means that the worker died, and not that the task raised.

    >>> died(ValueError("no")), died(TaskEnded("SystemExit(1)"))
    (False, False)
    >>> from concurrent.futures.process import BrokenProcessPool
    >>> died(BrokenProcessPool("killed"))
    True
    """
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__)
    return next((_DIED[name] for name in names if name in _DIED), False)


def count(jobs: int | Literal["auto"]) -> int:
    """Return the number of workers: `jobs`, or for "auto" the number of cores that this process may use.

    The affinity of the process, the limit of its container and LOKY_MAX_CPU_COUNT restrict the cores.

    >>> count(3)
    3
    """
    if jobs != "auto":
        return jobs
    from loky import cpu_count

    return int(cpu_count())


def gpus() -> list[str]:
    """Return the names of the visible GPUs, as in CUDA_VISIBLE_DEVICES."""
    import torch

    found = torch.cuda.device_count()
    if not found and torch.backends.mps.is_available():
        return ["0"]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(found)] if named is None else [name.strip() for name in named.split(",")]
    return names[:found]


def environments(jobs: int, accelerator: Literal["auto", "cpu", "gpu"]) -> list[dict[str, str]]:
    """Return the environment variables of each worker: one thread, and its own GPU or none.

    Args:
        jobs: The number of workers. There are never more workers than GPUs.
        accelerator: "auto" uses GPUs if there are any.

    Raises:
        HarnessError: If "gpu" is asked for and there is none.
    """
    found = [] if accelerator == "cpu" else gpus()
    if accelerator == "gpu" and not found:
        raise HarnessError("executor.accelerator=gpu: this process sees no GPU")
    return [{**SINGLE_THREADED, **SAFE_PATH, "CUDA_VISIBLE_DEVICES": name} for name in found[:jobs] or [""] * jobs]


@contextmanager
def no_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from processes and threads that are started inside the context; the launcher handles it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def pack(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Pickle a task for a worker. Only `perform` unpickles it, so that errors are reported."""
    return _dumps((function, args, kwargs))


def perform(task: bytes) -> Any:
    """Run a task in a worker.

    Raises:
        TaskEnded: If the task tried to end its process.
        TaskError: If the task raised an exception that cannot be sent between processes.
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
    """Return the exception, or a TaskError if it cannot be sent between processes."""
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
    """Return the modification times of imported files under development, which a warm worker keeps as they were."""
    installed = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    found = {}
    for file in files:
        if isinstance(file, str) and not file.startswith(installed):
            with contextlib.suppress(OSError):
                found[file] = os.stat(file).st_mtime_ns
    return found


def edited() -> bool:
    """Return True if an imported file under development has changed since this process began."""
    began = psutil.Process().create_time() * 1e9
    return any(changed > began for changed in sources_held().values())


def offered() -> frozenset[tuple[str, str, str]]:
    """Return (kind, name, origin) of every component.

    A warm worker knows no plugin that was installed after it began.
    """
    from harness.registry import catalogue

    return frozenset((entry["kind"], entry["name"], entry["origin"]) for entry in catalogue.current())
