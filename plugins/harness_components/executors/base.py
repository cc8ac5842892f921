"""Base classes of the executors over other processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from harness import workers


class Killable(Executor):
    """An executor whose running tasks can be killed at once, as on Ctrl-C."""

    def kill(self) -> None:
        """Kill running tasks and cancel the others; nothing can be submitted afterwards."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.kill()
        self.shutdown(wait=True)


class Threaded(Killable):
    """An executor with a thread for each running task, at most `workers`; queued tasks can be cancelled."""

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=type(self).__name__)
        self._futures: set[Future[Any]] = set()  # not done

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a task, a module-level function with plain arguments; return its future."""
        future = self._threads.submit(self._pack_and_run, fn, args, kwargs)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept no more tasks; wait for the submitted ones, or cancel those not started."""
        self._threads.shutdown(wait=False)
        for future in list(self._futures) if cancel_futures else []:
            future.cancel()  # notifies waiters, which the pool's own `cancel_futures` does not
        if wait:
            self._threads.shutdown(wait=True)

    def _pack_and_run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._run(workers.pack(fn, args, kwargs))

    def _run(self, task: bytes) -> Any:
        raise NotImplementedError
