"""A warm process for a contestant: it imports only what that one needs, is asked many times, and answers in JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
CLOSING_S = 30
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class LeftOut(Exception):
    """A contestant that cannot take part here: it is not installed, or the harness does not know a setting."""


class Stopwatch:
    """Wall time, and CPU time of this process and its children."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), cpu_seconds()

    def per_run(self, runs: int) -> dict[str, float]:
        """Return the milliseconds a run since the start."""
        wall, cpu = time.perf_counter() - self.wall, cpu_seconds() - self.cpu
        return {"wall": wall / runs * 1e3, "cpu": cpu / runs * 1e3}


def cpu_seconds(pid: int | None = None) -> float:
    """Return the CPU seconds of a process (by default this one) and its children, including those that have ended."""
    root = psutil.Process(pid)
    return sum(_cpu_seconds(process) for process in (root, *root.children(recursive=True)))


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    if process.pid == os.getpid():  # the system counts others in hundredths of a second
        return time.process_time() + times.children_user + times.children_system
    return times.user + times.system + times.children_user + times.children_system


class Warm:
    """`ask("module:function", ...)` calls a function there. What it prints goes to a file, shown when it fails."""

    def __init__(self, folder: Path, env: Mapping[str, str] | None = None) -> None:
        self.said = folder / f"said-{time.monotonic_ns()}.txt"
        self.began = time.perf_counter()
        self.answered: float | None = None
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        with self.said.open("w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.warm"],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | dict(env or {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()  # it ends by itself, and ends its own workers
        try:
            self.process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def ask(self, call: str, /, **given: Any) -> dict[str, Any]:
        """Return the result of the function. Raises LeftOut, or RuntimeError with the output of the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"call": call, "given": given}) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        except BrokenPipeError:
            answer = {"error": "it ended"}
        if "left_out" in answer:
            raise LeftOut(answer["left_out"])
        if "error" in answer:
            raise RuntimeError(f"{call}: {answer['error']}\n{self.said.read_text()[-2000:]}")
        self.answered = self.answered or time.perf_counter()
        return answer["found"]

    def ready(self) -> float:
        """Seconds from the start of the process to its first answer."""
        assert self.answered is not None
        return self.answered - self.began


def answer(line: str) -> dict[str, Any]:
    """One call, as a line asks for it."""
    asked = json.loads(line)
    module, _, function = asked["call"].partition(":")
    try:
        return {"found": getattr(import_module(module), function)(**asked["given"])}
    except ModuleNotFoundError as error:
        return {"left_out": f"{error.name} is not installed"}
    except Exception as error:
        if type(error).__name__ == "HarnessError":  # by name: a peer's process does not import the harness
            return {"left_out": str(error).splitlines()[0]}
        return {"error": traceback.format_exc()}


def serve() -> None:
    """Answers lines until there are none. Whoever prints or reads here, below or beside, does not meet the lines."""
    lines, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    for line in lines:
        answers.write(json.dumps(answer(line)) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
