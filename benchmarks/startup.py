"""Commands as processes: time to the first epoch, time of a whole run, and help against a bare Hydra application."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.measure import Figures, Times, interleave, interval, ratio, table
from benchmarks.warm import cpu_seconds
from harness.registry import catalogue

BARE, RUN, TORCH = "bare Hydra --help", "harness", "import torch"
HARNESS = (sys.executable, "-c", "from harness.cli import main; main()")
OURS = {
    "harness --help": (*HARNESS, "--help"),
    "harness list": (*HARNESS, "list"),
    "harness activation=rely": (*HARNESS, "activation=rely"),
}

# The peer is bare: it does not see the harness's Hydra plugins, though they are installed beside it.
_APP = """
import sys, types
sys.modules["hydra_plugins"] = types.ModuleType("hydra_plugins")
sys.modules["hydra_plugins"].__path__ = []
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    print(config)

main()
"""


def write_app(folder: Path, groups: Mapping[str, Iterable[str]]) -> Path:
    """A Hydra application with these groups and options, each option a small YAML file."""
    conf = folder / "conf"
    conf.mkdir(parents=True)
    defaults = []
    for group, names in groups.items():
        (conf / group).mkdir(parents=True)
        options = sorted(names) or ["none"]
        for name in options:
            (conf / group / f"{name}.yaml").write_text(f"name: {name}\nlr: 0.1\nfactor: 2.0\n")
        defaults.append(f"  - {group}: {options[0]}")
    (conf / "config.yaml").write_text("\n".join(["defaults:", *defaults, "  - _self_", "", "seed: 0", ""]))
    app = folder / "app.py"
    app.write_text(_APP)
    return app


def process(command: tuple[str, ...], folder: Path, status: int) -> Figures:
    """Wall and CPU seconds of a process, which ends with this status; `first_*` until its first line of an epoch."""
    # Bytecode is kept, as for any installed program, wherever this environment would put it.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    first: Figures = {}
    assert child.stderr is not None
    with child.stderr as lines:
        for line in lines:
            if line.startswith("epoch ") and not first:
                first = {"first_wall": time.perf_counter() - start, "first_cpu": cpu_seconds(child.pid)}
    _, code, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(code)
    assert child.returncode == status, f"{command[-1]} ended with {child.returncode}, expected {status}"
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime} | first


def measured(rounds: int) -> Times:
    """Interleaved rounds of warm processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = write_app(folder / "app", catalogue.current().entries)
        runs = {BARE: functools.partial(process, (sys.executable, str(app), "--help"), folder, 0)}
        for line, command in OURS.items():
            runs[line] = functools.partial(process, command, folder, 2 if "=" in line else 0)
        runs[TORCH] = functools.partial(process, (sys.executable, "-c", TORCH), folder, 0)  # how fast this machine is
        studies = itertools.count()  # a run that is cached would not train
        runs[RUN] = lambda: process((*HARNESS, f"study=startup-{next(studies)}"), folder, 0)
        return interleave(runs, rounds)


def report(rounds: int, quick: bool) -> tuple[str, Times]:
    """The table of this benchmark, and its figures."""
    times = measured(rounds)
    rows = [
        [
            name,
            f"{interval(figures['wall']).median * 1e3:.0f}",
            f"{interval(figures['cpu']).median * 1e3:.0f}",
            ratio(times, "wall", name, BARE).show(),
            ratio(times, "cpu", name, BARE).show(),
            f"{interval(figures['first_cpu']).median * 1e3:.0f}" if "first_cpu" in figures else "",
        ]
        for name, figures in times.items()
    ]
    title = f"Start-up: whole processes, warm, {rounds} rounds; `{RUN}` trains digits for 20 epochs"
    header = ["", "wall ms", "CPU ms", "wall / bare", "CPU / bare", "CPU ms to epoch 1"]
    return table(title, header, rows), times
