"""Tests of what differs between operating systems: no other module needs a call that Windows lacks."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.system import platforms

ROOT = Path(__file__).resolve().parents[2]
LACKING = {  # on Windows, by the documentation of `os` and `signal`
    "os": [
        *["O_CLOEXEC", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "WNOHANG", "execv", "execve", "fork"],
        *["forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getpgrp", "getsid", "getuid", "killpg"],
        *["mkfifo", "nice", "posix_spawn", "sched_getaffinity", "setpgid", "setsid", "setuid", "statvfs", "sync"],
        *["sysconf", "uname", "wait3", "wait4"],
    ],
    "signal": [
        *["SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGUSR1", "SIGUSR2"],
        *["alarm", "pthread_kill", "pthread_sigmask", "setitimer", "sigwait"],
    ],
}
MODULES = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
ALLOWED = {"harness/system/platforms.py", "plugins/harness_components/executors/submitit_slurm.py"}  # Slurm is POSIX
PRUNED = """
import sys
import torch, pytorch_lightning, torchmetrics, loky, sklearn, tensorboard  # libraries choose their own way at import
import os, signal
for name in {os}: hasattr(os, name) and delattr(os, name)
for name in {signal}: hasattr(signal, name) and delattr(signal, name)
sys.modules["resource"] = None
from harness.cli import main
main({words})
"""


def posix_only(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in LACKING.get(node.value.id, ()):
                found.append(f"{node.value.id}.{node.attr}")
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            found.append(node.module)
    return found


def test_only_one_module_names_what_windows_lacks() -> None:
    files = {
        path.relative_to(ROOT).as_posix(): path
        for top in ("harness", "plugins")
        for path in ROOT.glob(f"{top}/**/*.py")
    }
    found = {name: posix_only(ast.parse(path.read_text(encoding="utf-8"))) for name, path in files.items()}
    assert {name: names for name, names in found.items() if names and name not in ALLOWED} == {}
    assert all(found[name] for name in ALLOWED)


@pytest.mark.parametrize("words", [["data=iris", "epochs=1"], ["-m", "data=iris", "epochs=1", "seed=0,1"]])
def test_run_and_sweep_need_no_call_that_windows_lacks(words: list[str], workdir: Path) -> None:
    used_by_libraries = {"SIGKILL", "SIGSTOP", "SIGUSR1", "WNOHANG", "sysconf"}
    names = {module: sorted(set(found) - used_by_libraries) for module, found in LACKING.items()}
    code = PRUNED.format(**names, words=words)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "completed" in done.stdout


def test_peak_memory_is_at_least_the_resident_memory() -> None:
    assert platforms.peak_memory() >= 0.9 * psutil.Process().memory_info().rss


@pytest.mark.parametrize("with_groups", [True, False])
def test_child_is_ended_with_its_own_children(
    with_groups: bool, monkeypatch: pytest.MonkeyPatch, workdir: Path
) -> None:
    if not with_groups:
        monkeypatch.delattr("os.killpg", raising=False)
    code = (
        "import subprocess, sys, time\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(inner.pid, flush=True)\ntime.sleep(600)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    inner = int(child.stdout.readline())
    platforms.kill_group(child)
    deadline = time.monotonic() + 60
    while psutil.pid_exists(inner) and psutil.Process(inner).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert child.returncode != 0
    child.stdout.close()


def test_program_replaces_this_process() -> None:
    code = (
        "import os, sys\nfrom harness.system.platforms import replace_process\nprint('before')\nos.name = {!r}\n"
        "replace_process([sys.executable, '-c', 'print(1); raise SystemExit(5)'])"
    )
    for name in ("posix", "nt"):
        done = subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.split()) == (5, ["before", "1"]), done.stderr
