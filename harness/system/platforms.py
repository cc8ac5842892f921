"""What differs between operating systems: flags of files, peak memory, ending processes, replacing this process.

Only this module names calls and flags that Windows lacks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NoReturn

# flags of `os.open` that a system may lack; 0 has no effect. Windows opens files as text without `O_BINARY`
NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # do not wait for the writer of a pipe
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
TO_SYNC = PLAIN | (os.O_RDONLY if os.name == "posix" else os.O_RDWR)  # Windows syncs no file that is only read


def peak_memory() -> int:
    """Return the peak of this process's resident memory, in bytes."""
    try:
        import resource
    except ImportError:
        import psutil

        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """End a child that was started with `start_new_session`, with its own children, and wait for it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            _kill_tree(child.pid)
    child.wait()


def _kill_tree(pid: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Context in which this thread, and what it starts, gets no SIGINT; Windows has no such mask."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def replace_process(words: Sequence[str]) -> NoReturn:
    """Run a program in place of this process: its output, signals and exit status are those of this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execv(words[0], list(words))
    sys.exit(subprocess.run(list(words), check=False).returncode)


def can_sync(path: str | os.PathLike[str]) -> bool:
    """Return True if this system can sync a file, or the names in a folder: Windows opens no folders."""
    return os.name == "posix" or not os.path.isdir(path)
