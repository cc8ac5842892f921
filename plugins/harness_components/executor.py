"""Executors: where the runs of a sweep are trained."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import harness


class InProcess(Executor):
    """Runs each call at once, in the caller's process; Ctrl-C is the caller's."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future that is already done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@harness.executor
def in_process(jobs: int) -> Executor:
    """One run after another, in this process."""
    return InProcess()
