"""Shared code of all executors: count workers, set their environments, send tasks, and detect dead workers."""

from __future__ import annotations

import contextlib
import os
import pickle
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
from harness.system.platforms import interrupts_blocked
from harness.system.process_id import SAFE_PATH as SAFE_PATH
from harness.system.process_id import safe_path as safe_path
from harness.system.signals import restore_default_handlers as restore_default_handlers

# One thread for each worker. Set before the libraries that read these variables are loaded.
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

# By name, so that no package need be imported. The nearest base class of an error decides.
_DIED = {
    "concurrent.futures.process.BrokenProcessPool": True,
    "loky.process_executor.TerminatedWorkerError": True,
    "loky.process_executor.BrokenProcessPool": False,  # the result cannot be unpickled
    "submitit.core.utils.UncompletedJobError": True,
    "submitit.core.utils.FailedJobError": False,
    "distributed.scheduler.KilledWorker": True,
    "concurrent.futures._base.CancelledError": True,  # harness has not cancelled it: the cluster has gone
}


class TaskEnded(RuntimeError):
    """A task tried to end its process, as `sys.exit` does."""


class TaskError(RuntimeError):
    """The message and the traceback of an exception that cannot be sent between processes."""


def died(error: BaseException) -> bool:
    """Return True if an executor's error means that the worker died, and False if the task raised it.

    >>> died(ValueError("no")), died(TaskEnded("SystemExit(1)"))
    (False, False)
    >>> from concurrent.futures.process import BrokenProcessPool
    >>> died(BrokenProcessPool("killed"))
    True
    """
    names = (f"{cls.__module__}.{cls.__qualname__}" for cls in type(error).__mro__)
    return next((_DIED[name] for name in names if name in _DIED), False)


def worker_count(jobs: int | Literal["auto"]) -> int:
    """Return the number of workers.

    Args:
        jobs: The setting `jobs`. `auto` is the number of cores that this process may use: its affinity, the limit of
            its container and LOKY_MAX_CPU_COUNT are respected.

    >>> worker_count(3)
    3
    """
    if jobs != "auto":
        return jobs
    from loky import cpu_count

    return int(cpu_count())


def gpus() -> list[str]:
    """Return the GPUs that this process sees, by their names in CUDA_VISIBLE_DEVICES."""
    import torch

    count = torch.cuda.device_count()
    if not count and torch.backends.mps.is_available():
        return ["0"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(i) for i in range(count)] if visible is None else [name.strip() for name in visible.split(",")]
    return names[:count]


def environments(jobs: int, accelerator: Literal["auto", "cpu", "gpu"]) -> list[dict[str, str]]:
    """Return the environment variables of each worker on this machine: one thread, and one GPU or none.

    There are never more workers than GPUs, since two workers on one GPU would wait for each other.

    Args:
        jobs: The number of workers.
        accelerator: `auto` is `gpu` where this process sees one.

    Raises:
        HarnessError: If the accelerator is `gpu` and this process sees none.
    """
    names = [] if accelerator == "cpu" else gpus()
    if accelerator == "gpu" and not names:
        raise HarnessError("executor.accelerator=gpu: this process sees no GPU; set executor.accelerator=cpu")
    return [{**SINGLE_THREADED, **SAFE_PATH, "CUDA_VISIBLE_DEVICES": name} for name in names[:jobs] or [""] * jobs]


@contextmanager
def no_interrupts() -> Iterator[None]:
    """Keep the terminal's Ctrl-C from processes and threads that are started in the block; the launcher handles it."""
    with interrupts_blocked():
        yield


def pack(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Pickle a task for `perform`, which can report a failure to unpickle it."""
    return _dumps((function, args, kwargs))


def perform(task: bytes) -> Any:
    """Run a packed task in a worker, so that the worker survives it and every exception can be sent back.

    Raises:
        TaskEnded: If the task tried to end the process.
        TaskError: If the task raised an exception that cannot be sent.
    """
    try:
        function, args, kwargs = pickle.loads(task)
        return function(*args, **kwargs)
    except Exception as error:
        substitute = sendable(error)
        if substitute is error:
            raise
        raise substitute from None
    except BaseException as error:
        raise TaskEnded(f"the task raised {error!r}") from None


def sendable(error: Exception) -> Exception:
    """Return the exception that is being handled if it can be sent between processes, or else a TaskError about it."""
    return error if _can_be_sent(error) else TaskError(f"{one_line(error)}\n\n{traceback.format_exc()}")


def _can_be_sent(error: Exception) -> bool:
    try:
        return type(pickle.loads(_dumps(error))) is type(error)
    except Exception:
        return False


def _dumps(value: Any) -> bytes:
    import cloudpickle

    return bytes(cloudpickle.dumps(value))


def sources_held() -> dict[str, int]:
    """Return the modification times (ns) of the imported source files outside of the installed packages.

    A warm worker does not see later edits of these.
    """
    installed = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    times = {}
    for file in files:
        if isinstance(file, str) and not file.startswith(installed):
            with contextlib.suppress(OSError):
                times[file] = os.stat(file).st_mtime_ns
    return times


def edited() -> bool:
    """Return True if an imported source file was written after this process began, so that a fork may hold old code."""
    began = psutil.Process().create_time() * 1e9
    return any(changed > began for changed in sources_held().values())


def offered() -> frozenset[tuple[str, str, str]]:
    """Return (kind, name, origin) of every component.

    A warm worker does not know the plugins that were installed after it began.
    """
    from harness.registry import catalogue

    return frozenset((entry["kind"], entry["name"], entry["origin"]) for entry in catalogue.current())
