"""Keep Python's garbage collector from walking objects that stay: imported modules, parsed records.

The collector walks all objects again and again while their number grows, and once more when the process ends. With
torch and Lightning imported, that takes two seconds of a short command.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable garbage collection in a block that makes many objects which stay, and little garbage in cycles.

    In a process that `keep_all` was called in, the new objects are never walked.
    """
    if not gc.isenabled():  # in another such block
        yield
        return
    keeps_all = gc.get_freeze_count() > 0  # which counts them one by one
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # moves the new objects out of the youngest generation,
        if not keeps_all:
            gc.unfreeze()  # and into the oldest one
        gc.enable()


@contextmanager
def frozen() -> Iterator[None]:
    """Exempt the objects that exist before a block from garbage collection until it ends."""
    if gc.get_freeze_count() > 0:  # by `keep_all`, or by the caller
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def keep_all() -> None:
    """Exempt all objects from garbage collection: those of this moment, of blocks that are `uncollected`, and at exit.

    To be called in a process of harness alone, which ends before the garbage among them matters.
    """
    gc.freeze()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
