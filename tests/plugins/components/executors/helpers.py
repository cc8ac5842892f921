"""Helpers for tests of executors. Tasks are functions of the standard library, so a worker imports nothing."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

KILL = (signal.raise_signal, signal.SIGKILL)  # a task that kills its worker


def settings(name, folder):
    """Return settings for an executor of processes on this machine."""
    return {"submitit": {"cluster": "local", "folder": str(folder)}}.get(name, {})


def gone(pid, within=10.0):
    """Return True if a process ends in time."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def until(gate, began):
    """Return code for `exec` in a worker that reports its start and waits for a gate to open."""
    return (
        f"import os, time\nopen({str(began)!r}, 'w').close()\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    )


def seen(path):
    """Wait for a file."""
    while not path.exists():
        time.sleep(0.01)


LAUNCHER = """
import os, sys, time
from harness_components.executors import components
if __name__ == "__main__":
    made = getattr(components, sys.argv[1])(2)
    with made:
        pids = [made.submit(os.getpid) for _ in range(2)]
        print(*{future.result() for future in pids}, flush=True)
        running = [made.submit(time.sleep, 60) for _ in range(4)]
        print("running", flush=True)
        try:
            running[0].result()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            raise SystemExit(130)
"""


@contextmanager
def launched(name, folder):
    """Start a launcher with busy workers, in its own process group, as a terminal does; yield it and their pids."""
    (folder / "launcher.py").write_text(LAUNCHER)
    process = subprocess.Popen(
        # interrupts may be ignored where tests run in the background, and children inherit that
        [sys.executable, "-c", "import os, signal, sys; signal.signal(2, signal.default_int_handler); "
         "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])", "launcher.py", name],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert process.stdout.readline() == "running\n", process.stderr.read()
        time.sleep(1.0)
        yield process, pids
    finally:
        process.kill()
        process.communicate()
