"""Show a spinner on a terminal during a long step without other output."""

from __future__ import annotations

import os
import sys
import threading
from types import TracebackType
from typing import Any

SILENT_S = 0.5  # time before the spinner appears


def in_cell() -> bool:
    """Return True in a command of a notebook's cell (`!harness`): the cell keeps what is drawn on its terminal."""
    return "JPY_PARENT_PID" in os.environ


class Spinner:
    """Show a spinner with a text on standard error, if it is a terminal and the block takes longer than SILENT_S.

    >>> with Spinner("loading"):
    ...     done = True
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._status: Any = None
        self._left = False

    def __enter__(self) -> Spinner:
        if sys.stderr.isatty() and not in_cell():
            self._timer = threading.Timer(SILENT_S, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._left = True
            if self._timer is not None:
                self._timer.cancel()
            if self._status is not None:
                self._status.stop()

    def _show(self) -> None:
        from rich.console import Console

        status = Console(stderr=True).status(self.text)
        with self._lock:
            if not self._left:
                status.start()
                self._status = status
