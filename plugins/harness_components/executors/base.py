"""What the executors over other processes share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

from harness import workers


class Killable(Executor):
    """An executor whose running tasks can be ended at once, as Ctrl-C does."""

    def kill(self) -> None:
        """Ends running tasks and cancels the others; nothing can be submitted afterwards."""
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self.kill()
        self.shutdown(wait=True)


class Threaded(Killable):
    """Each task is seen through by a thread of this process: `workers` at once, and queued ones can be cancelled."""

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix=type(self).__name__)
        self._futures: set[Future[Any]] = set()  # not done

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The future of a task: a function of a module, and plain arguments."""
        future = self._threads.submit(self._see_through, fn, args, kwargs)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks; waits for those that there are, or cancels those not begun."""
        self._threads.shutdown(wait=False)
        for future in list(self._futures) if cancel_futures else []:
            future.cancel()  # its thread tells who waits for it, as a pool's own `cancel_futures` does not
        if wait:
            self._threads.shutdown(wait=True)

    def _see_through(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._run(workers.pack(fn, args, kwargs))

    def _run(self, task: bytes) -> Any:
        raise NotImplementedError
