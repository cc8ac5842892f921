"""Observe which files this process opens."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_observers: list[set[str]] = []


@contextmanager
def opened_files() -> Iterator[set[str]]:
    """Yield a set to which the absolute path of each file is added that Python code opens in the block.

    Files that libraries open below Python are not seen.

    >>> with opened_files() as opened:
    ...     open(__file__).close()
    >>> os.path.abspath(__file__) in opened
    True
    """
    _observe()
    opened: set[str] = set()
    _observers.append(opened)
    try:
        yield opened
    finally:
        _observers.remove(opened)


@functools.cache  # an audit hook cannot be removed
def _observe() -> None:
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _observers and event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        path = os.path.abspath(os.fsdecode(arguments[0]))
        for opened in _observers:
            opened.add(path)
