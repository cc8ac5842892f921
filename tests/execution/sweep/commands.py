"""Fast-starting commands: a process that has imported everything forks each one on request.

Each is `harness LINE` in a process group of its own, as a terminal starts it, with a plugin that fails on purpose.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.commands import environment
from tests.helpers.strangers import install

FORKING = """
import json, os, resource, signal, sys
import torch, pytorch_lightning, yaml, loky, submitit, distributed
import harness.execution.sweep.scheduler, harness.training.fit, harness.analysis.report.summary
import harness.cli.live.progress, harness.cli.train
from harness.cli import main

def command(line, folder, limits):
    os.setsid()
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # who runs the tests may ignore it
    for number, name in enumerate((os.devnull, "output.txt", "errors.txt")):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    for name, most in limits.items():
        resource.setrlimit(getattr(resource, name), (most, most))
    sys.argv = ["harness", *line]
    main(line)

if __name__ == "__main__":
    from harness.config.composition import compose
    from harness.execution.preparation import prepare
    prepare(compose(["model=mlp"]))  # nothing that trains: torch does not go on in a child when it has
    print("ready", flush=True)
    for asked in sys.stdin:
        asked = json.loads(asked)
        if "line" in asked:
            pid = os.fork()
            if not pid:
                command(**asked)
            print(pid, flush=True)
        else:
            print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
"""

SABOTEUR = '''
import os, signal, sys, time
from pathlib import Path
import torch

HOW = {5: "raise", 9: "nan", 13: "exit", 17: "kill", 21: "memory"}


class Saboteur(torch.optim.SGD):
    """Plain descent, until it is the turn of those whose number is up."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        how = HOW.get(self.param_groups[0]["number"]) if self.steps == self.param_groups[0]["at"] else None
        if how and self.param_groups[0]["company"]:
            end = time.monotonic() + 120
            while len(list(Path("outputs").glob("*/*/record.json"))) < 2:
                if time.monotonic() > end:
                    raise TimeoutError("no other run has begun")
                time.sleep(0.01)
        if how == "raise":
            raise ZeroDivisionError("sabotage")
        if how == "exit":
            sys.exit(3)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "memory":
            torch.empty(1 << 60)
        super().step()
        if how == "nan":
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.fill_(float("nan"))


@harness.optimizer
def saboteur(params, *, number: int = 0, at: int = 25, company: bool = False, lr: float = 0.05):
    """Plain descent; some numbers break at a step (in company: when another run has begun), one before the first."""
    if number == 25:
        raise ValueError("cannot be made")
    optimizer = Saboteur(params, lr)
    for group in optimizer.param_groups:
        group |= {"number": number, "at": at, "company": company}
    return optimizer


@harness.activation
def grenade(x, *, pin: Literal["in", "out"] = "in"):
    """A tanh, or an error."""
    if pin == "out":
        raise RuntimeError("the pin is out")
    return torch.tanh(x)


@harness.initializer
def dud(weight, *, fuse: Literal["long", "none"] = "long"):
    """Zeros, or an error."""
    if fuse == "none":
        raise RuntimeError("there is no fuse")
    weight.zero_()
'''


@dataclass
class Command:
    """A started command; `folder` is its working folder."""

    pid: int
    folder: Path
    forking: Forking

    def wait(self) -> int:
        """Return the exit status; minus the signal that ended the process."""
        return self.forking.ask({"wait": self.pid})

    def signal(self, which: signal.Signals, group: bool = True) -> None:
        """Send a signal to the process group, or to the process alone."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, which)

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    @property
    def errors(self) -> str:
        return (self.folder / "errors.txt").read_text()


class Forking:
    """The process that forks commands."""

    def __init__(self, site: Path) -> None:
        install(site, "saboteur", SABOTEUR, offers="saboteur, grenade, dud")
        self.site, self.file = site, site / "forking.py"
        self.file.write_text(FORKING)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(self.file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(site, OMP_NUM_THREADS="1"),
        )
        assert self._answer() == "ready"

    def start(self, *line: str, folder: Path, limits: dict[str, int] | None = None) -> Command:
        """Start `harness LINE` in a folder; `limits` by their names in `resource`."""
        folder.mkdir(exist_ok=True)
        return Command(self.ask({"line": line, "folder": str(folder), "limits": limits or {}}), folder, self)

    def run(self, *line: str, folder: Path, status: int = 0, limits: dict[str, int] | None = None) -> Command:
        """Run `harness LINE` in a folder, and expect an exit status."""
        command = self.start(*line, folder=folder, limits=limits)
        ended = command.wait()
        assert ended == status, f"exit {ended}\n{command.output}\n{command.errors}"
        return command

    def ask(self, what: dict[str, object]) -> int:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()  # the pipe would not end: forked processes hold it open too
        with self.process:
            pass


@contextlib.contextmanager
def forking(site: Path) -> Iterator[Forking]:
    """Start commands by forking within this context."""
    server = Forking(site)
    try:
        yield server
    finally:
        server.close()


def until(what: object, within: float = 60.0) -> None:
    """Wait until a function returns something true."""
    end = time.monotonic() + within
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


def statuses(study: Path) -> dict[Path, str]:
    """Return {record file: status} of readable records; a torn one is an error."""
    return {path: json.loads(path.read_text())["status"] for path in sorted(study.glob("*/record.json"))}


def ended(study: Path) -> list[Path]:
    """Return the records of complete runs."""
    return [path for path, status in statuses(study).items() if status in ("completed", "diverged")]


def stamps(paths: list[Path]) -> dict[Path, tuple[int, int]]:
    """Return file stamps, which change when a file is rewritten."""
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in paths}


def metrics(study: Path) -> dict[str, dict[str, float]]:
    """Return {id: metrics} of a study's complete runs."""
    rows = [json.loads(path.read_text()) for path in ended(study)]
    return {row["id"]: row["metrics"] for row in rows}


def left_over(study: Path) -> list[str]:
    """Return files that should be gone: half-written ones and owner files."""
    files = [*study.rglob("*.tmp"), *study.glob(".owners/*.json"), *study.glob(".owners/.*.new")]
    return [str(path.relative_to(study)) for path in files]
