"""Call a function in a forked process, which may die without harm to this one."""

from __future__ import annotations

import functools
import gc
import multiprocessing
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from harness.system.signals import restore_default_handlers

T = TypeVar("T")


class ProcessDied(RuntimeError):
    """Raised if a forked process ended without an answer."""


def can_fork() -> bool:
    """Return True if a forked child could compute: on Linux, and only if no GPU was used yet."""
    torch = sys.modules.get("torch")
    return sys.platform == "linux" and (torch is None or not torch.cuda.is_initialized())


def call_forked(function: Callable[..., T], *args: Any, times: int = 1, **kwargs: Any) -> list[T]:
    """Call a function in forked processes, on one thread each.

    Args:
        function: The function; its result or exception must be picklable.
        args: Its arguments.
        times: Number of processes that call it at the same time.
        kwargs: Its keyword arguments.

    Returns:
        The result of each process; a single result of this process if forking is not possible.

    Raises:
        ProcessDied: If a process ends without an answer.
    """
    if not can_fork():
        return [function(*args, **kwargs)]
    call = functools.partial(function, *args, **kwargs)
    with ExitStack() as stack:
        return [_receive(*child) for child in [_start(call, stack) for _ in range(times)]]


def _start(call: Callable[[], object], stack: ExitStack) -> tuple[BaseProcess, Connection]:
    """Start a process that answers a call; return it and the pipe for its answer. The stack ends it on exit."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    stack.callback(receiver.close)
    # not a daemon, which may not have children: loading data may need some
    child = context.Process(target=_answer, args=(sender, call))
    with forking():
        child.start()
    stack.callback(child.join)
    stack.callback(child.kill)
    sender.close()
    return child, receiver


def _receive(child: BaseProcess, pipe: Connection) -> Any:
    try:
        answer, error = pipe.recv()
    except EOFError:
        child.join()
        code = child.exitcode or 0
        ending = signal.Signals(-code).name if code < 0 else f"status {code}"
        raise ProcessDied(f"its process ended with {ending}") from None
    if error is not None:
        raise error
    return answer


@contextmanager
def forking() -> Iterator[None]:
    """Hide the warnings of Python and JAX that a fork of a process with threads may deadlock.

    The threads of harness hold no lock that a computation needs, and torch forks its own workers in the same way.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork.. may lead to deadlocks", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
        yield


def settle() -> None:
    """Prepare a forked process for computing; to be called in it first.

    Libraries are limited to one thread, since they would wait for the threads of the parent, which do not exist here.
    Garbage of the parent is not finalised.
    """
    import torch
    from threadpoolctl import threadpool_limits

    gc.freeze()  # a dask client would close itself when collected, and wait half a minute for its thread
    torch.set_num_threads(1)
    threadpool_limits(1)


def _answer(pipe: Connection, call: Callable[[], object]) -> None:
    restore_default_handlers()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this process
    settle()
    try:
        answer = call()
    except Exception as error:
        pipe.send((None, error))
    else:
        pipe.send((answer, None))
