"""Make SIGTERM and SIGHUP end a command as Ctrl-C does, so that its runs are recorded as interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """Raised if a signal other than that of Ctrl-C ends the process."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


def reason(error: BaseException) -> tuple[str, str]:
    """Return type and message for the record of an interrupted run."""
    if isinstance(error, Terminated):
        return signal.Signals(error.number).name, str(error)
    return "KeyboardInterrupt", "interrupted by the user"


@contextmanager
def terminable() -> Iterator[None]:
    """Make the signals raise Terminated in the main thread, unless they have a handler or are ignored."""
    handled = []
    if threading.current_thread() is threading.main_thread():
        handled = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def restore_default_handlers() -> None:
    """Let the signals end a forked worker at once, since its launcher records the runs; to be called in the worker."""
    for number in ENDING:
        if signal.getsignal(number) is _terminate:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    for other in ENDING:
        if signal.getsignal(other) is _terminate:
            signal.signal(other, signal.SIG_IGN)  # do not interrupt the recording of the runs
    raise Terminated(number)
