"""A function called in a forked process: what kills that process leaves this one as it was."""

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

from harness.system.signals import let_end

T = TypeVar("T")


class ProcessDied(RuntimeError):
    """The forked process ended without an answer."""


def can_fork() -> bool:
    """Whether a child of this process could compute: not after a GPU was used, and not where forking is unsafe."""
    torch = sys.modules.get("torch")
    return sys.platform == "linux" and (torch is None or not torch.cuda.is_initialized())


def apart(function: Callable[..., T], *args: Any, times: int = 1, **kwargs: Any) -> list[T]:
    """What function(*args, **kwargs) returns in each of so many forked processes at once, on one thread each; once, in
    this one, where that cannot be.

    What it returns or raises must pickle. Raises Died where a process ends without an answer, whyever.
    """
    if not can_fork():
        return [function(*args, **kwargs)]
    call = functools.partial(function, *args, **kwargs)
    with ExitStack() as stack:
        return [_answered(*child) for child in [_started(call, stack) for _ in range(times)]]


def _started(call: Callable[[], object], stack: ExitStack) -> tuple[BaseProcess, Connection]:
    """A process that answers a call, and the pipe with its answer; gone when the stack is left."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    stack.callback(ours.close)
    # no daemon: those may not have children, and data that is not in memory may want some
    child = context.Process(target=_answer, args=(theirs, call))
    with forking():
        child.start()
    stack.callback(child.join)
    stack.callback(child.kill)
    theirs.close()
    return child, ours


def _answered(child: BaseProcess, pipe: Connection) -> Any:
    try:
        answer, error = pipe.recv()
    except EOFError:
        child.join()
        code = child.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        raise ProcessDied(f"its process ended with {how}") from None
    if error is not None:
        raise error
    return answer


@contextmanager
def forking() -> Iterator[None]:
    """Without the warnings (Python's, and that of JAX where someone has imported it) that a child of several threads
    might wait for a lock of one of them: those of ours hold none that computing wants, and torch's own workers are
    forked so.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*use of fork.. may lead to deadlocks", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)
        yield


def settle() -> None:
    """To be called first in a forked process: the threads of its parent are not there, and who asked them for help
    would wait. Libraries compute on this one, and what the parent left behind is not finalised here.
    """
    import torch
    from threadpoolctl import threadpool_limits

    gc.freeze()  # a client of dask that is garbage closes itself, and waits half a minute for its thread
    torch.set_num_threads(1)
    threadpool_limits(1)


def _answer(pipe: Connection, call: Callable[[], object]) -> None:
    let_end()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who waits for the answer is interrupted, and ends this process
    settle()
    try:
        answer = call()
    except Exception as error:
        pipe.send((None, error))
    else:
        pipe.send((answer, None))
