"""Identify a process across hosts, by host, boot, process number and start time; and start Python safely."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

SAFE_PATH = {"PYTHONSAFEPATH": "1"}  # keeps Python from searching the working folder for modules, as -m and -c do


class _SafePath(contextlib.AbstractContextManager[None]):
    """The environment variables of SAFE_PATH are set while any thread is inside."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before: dict[str, str | None] = {}  # the first of them entered

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.before = {name: os.environ.get(name) for name in SAFE_PATH}
                os.environ.update(SAFE_PATH)
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            for name, value in self.before.items() if not self.inside else ():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


_SAFE = _SafePath()


def safe_path() -> contextlib.AbstractContextManager[None]:
    """Return a context in which a Python that is started, by whomever, imports nothing from the working folder.

    Contexts may be nested, and several threads may be inside at once: the last to leave puts the environment back.
    """
    return _SAFE


@functools.cache
def here() -> dict[str, Any]:
    """Return where this process runs: `host`, `machine`, `boot`, and the `namespace` of process numbers.

    All are needed: machines may share a host name, and containers of one host share its name and boot.
    """
    return {
        "host": socket.gethostname(),
        "machine": _text("/etc/machine-id"),
        "boot": _text("/proc/sys/kernel/random/boot_id") or _boot_time(),
        "namespace": _link("/proc/self/ns/pid"),
    }


def started(pid: int) -> float | None:
    """Return the start time of a living process of this machine.

    Args:
        pid: Number of the process.

    Returns:
        Clock ticks since boot on Linux, which a change of the date does not move, and seconds elsewhere; None if the
        process has ended (or is a zombie), nan if it cannot be seen.
    """
    if not os.path.exists("/proc/self/stat"):
        return _started_elsewhere(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
        return None if state in (b"Z", b"X") else float(fields[18])
    except OSError:
        return math.nan if _hidden(pid) else None


def uptime() -> float:
    """Return the seconds of a clock that also runs while the machine sleeps.

    A change of the date does not move it, except on systems without such a clock.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boot is None else time.clock_gettime(boot)


def _hidden(pid: int) -> bool:
    """Return True if a process exists that /proc does not show, since those of other users can be hidden."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _started_elsewhere(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return math.nan


def _boot_time() -> str:
    import psutil

    return f"{psutil.boot_time():.0f}"


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
