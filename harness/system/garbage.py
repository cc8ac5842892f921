"""Keep Python's garbage collector from walking objects that stay: imported modules, parsed records.

The collector walks all objects again and again while their number grows, and once more when the process ends. With
torch and Lightning imported, that takes two seconds of a short command.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

_keeps_all = Event()  # for the whole process, as the collector is; Python 3.12 starts with some frozen objects


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable garbage collection in a block that makes many objects which stay, and little garbage in cycles.

    In a process that `keep_all` was called in, the new objects are never walked.
    """
    if not gc.isenabled():  # in another such block
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()  # moves the new objects out of the youngest generation,
        if not _keeps_all.is_set():
            gc.unfreeze()  # and into the oldest one
        gc.enable()


def keep_all() -> None:
    """Exempt all objects from garbage collection: those of this moment, of blocks that are `uncollected`, and at exit.

    To be called in a process of harness alone, which ends before the garbage among them matters.
    """
    _keeps_all.set()
    gc.freeze()
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
