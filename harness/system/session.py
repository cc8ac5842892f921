"""The state that harness keeps from one run to the next: caches, callbacks, the catalogue of components.

A module that keeps something defines a class for it, and asks the current session for the instance.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")


class Session:
    """State that runs share: caches, the callbacks of sweeps, and the catalogue of components.

    All runs of a process share one session, unless a block has its own. Sessions do not see each other's state, and
    may be entered in any order and more than once. A thread begins in the session of the process.

    >>> session = Session()
    >>> with session:
    ...     state(list).append("kept")
    >>> with Session():
    ...     state(list)
    []
    >>> with session:
    ...     state(list)
    ['kept']
    """

    def __init__(self) -> None:
        self._states: dict[Callable[[], Any], Any] = {}
        self._lock = threading.RLock()
        self._tokens: list[Token[Session]] = []

    def state(self, make: Callable[[], T]) -> T:
        """Return this session's instance of a class; it is made when it is first asked for."""
        if make not in self._states:
            with self._lock:
                if make not in self._states:
                    self._states[make] = make()
        found: T = self._states[make]
        return found

    def forget(self, make: Callable[[], Any]) -> None:
        """Drop this session's instance of a class; it is made anew when it is next asked for."""
        self._states.pop(make, None)

    def __enter__(self) -> Session:
        self._tokens.append(_current.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _current.reset(self._tokens.pop())


_of_process = Session()
_current: ContextVar[Session] = ContextVar("session")


def current() -> Session:
    """Return the session of the innermost block that has one, or that of the process."""
    return _current.get(_of_process)


def state(make: Callable[[], T]) -> T:
    """Return the current session's instance of a class; it is made when it is first asked for."""
    return current().state(make)
