"""Start-up: whole processes of the command line against a bare Hydra application with as many config groups."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.measure import Figures, Times, interleave, interval, ratio, table
from harness.registry import catalogue

BARE, EMPTY = "bare Hydra --help", "bare Hydra --help, no groups"
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
    """Wall and CPU seconds of a process, which ends with this status."""
    # Bytecode is kept, as for any installed program, wherever this environment would put it.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    env |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    start = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, code, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(code)
    assert child.returncode == status, f"{command[-1]} ended with {child.returncode}, expected {status}"
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime}


def measured(rounds: int) -> Times:
    """Interleaved rounds of warm processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {}
        for peer, groups in ((BARE, catalogue.current().entries), (EMPTY, {})):
            app = write_app(folder / str(len(groups)), groups)
            runs[peer] = functools.partial(process, (sys.executable, str(app), "--help"), folder, 0)
        for line, command in OURS.items():
            runs[line] = functools.partial(process, command, folder, 2 if "=" in line else 0)
        return interleave(runs, rounds)


def shown(times: Times) -> str:
    """One row a command."""
    rows = [
        [
            name,
            f"{interval(found['wall']).median * 1e3:.0f}",
            f"{interval(found['cpu']).median * 1e3:.0f}",
            ratio(times, "wall", name, BARE).show(),
            ratio(times, "cpu", name, BARE).show(),
        ]
        for name, found in times.items()
    ]
    title = f"Start-up: whole processes, warm, {len(times[BARE]['wall'])} rounds"
    return table(title, ["", "wall ms", "CPU ms", "wall / bare", "CPU / bare"], rows)


def report(quick: bool = False) -> str:
    """The table of this benchmark."""
    return shown(measured(1 if quick else 15))
