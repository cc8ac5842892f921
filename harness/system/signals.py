"""SIGTERM and SIGHUP end a command as Ctrl-C does: its runs are recorded as interrupted, and its workers end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class Terminated(KeyboardInterrupt):
    """The process was asked to end by a signal other than that of Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


def reason(error: BaseException) -> tuple[str, str]:
    """The type and the message of the record of a run that was interrupted."""
    if isinstance(error, Terminated):
        return signal.Signals(error.number).name, str(error)
    return "KeyboardInterrupt", "interrupted by the user"


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, the signals raise Terminated in the main thread; one that has a handler, or is ignored, is left to it."""
    ours = []
    if threading.current_thread() is threading.main_thread():
        ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _terminate)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def let_end() -> None:
    """To be called in a forked worker: its launcher is the one that records what the signals end."""
    for number in ENDING:
        if signal.getsignal(number) is _terminate:
            signal.signal(number, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    for other in ENDING:
        if signal.getsignal(other) is _terminate:
            signal.signal(other, signal.SIG_IGN)  # the runs are being recorded: once is enough
    raise Terminated(number)
