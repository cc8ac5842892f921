"""The stock application as a process: what a run takes once it is warm, and what the process takes beside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from benchmarks.cases import Case, Work
from benchmarks.measure import Figures, cores
from benchmarks.warm import ONE_THREAD, LeftOut

APP = Path(__file__).parent / "stock_app" / "app.py"

# The peer does not see the harness's Hydra plugins, though they are installed beside it.
_START = """
import runpy, sys
sys.modules["hydra_plugins.harness_hydra"] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def part(case: Case, joblib: bool) -> Case:
    """As many of the runs as give each process a few of them, each learning rate as often as the others."""
    processes = cores() if joblib else 1
    return replace(case, seeds=max(2, -(-3 * processes // len(case.lrs))))


def check(case: Case, joblib: bool) -> int:
    """Return the number of runs that are trained. Raise LeftOut if the launcher is not installed."""
    if joblib and find_spec("hydra_plugins.hydra_joblib_launcher") is None:
        raise LeftOut("hydra-joblib-launcher is not installed")
    return part(case, joblib).runs


def run(case: Case, work: Work, folder: Path, joblib: bool) -> Figures:
    """`python app.py -m ...`: what a run takes once it is warm; `start` is what the whole process takes beside."""
    some = part(case, joblib)
    here = Path(tempfile.mkdtemp(dir=folder))
    values = {
        "seed": ",".join(map(str, range(some.seeds))),
        "lr": ",".join(map(str, some.lrs)),
        "arrays": work.arrays,
        "stamps": here / "stamps",
        **{key: getattr(some, key) for key in ("model", "width", "depth", "batch_size", "epochs")},
    }
    launcher = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={cores()}"] if joblib else []
    command = [sys.executable, "-c", _START, str(APP), "-m", *(f"{k}={v}" for k, v in values.items()), *launcher]
    env = os.environ | ONE_THREAD  # faster for it, where its steps are small and the cores are not all its own
    start = time.perf_counter()
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)
    whole = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"stock application: {done.stderr[-2000:]}")
    stamps = [json.loads(line) for line in (here / "stamps").read_text().splitlines()]
    shutil.rmtree(here)
    assert len(stamps) == some.runs, f"{len(stamps)} of {some.runs} runs"
    wall, cpu = (warm_seconds([(stamp["worker"], stamp[clock]) for stamp in stamps]) for clock in ("wall", "cpu"))
    cpu *= len({stamp["worker"] for stamp in stamps})  # of all processes, where their wall time is at once
    accuracy = sum(stamp["accuracy"] for stamp in stamps) / len(stamps)
    return {"wall": wall * 1e3, "cpu": cpu * 1e3, "accuracy": accuracy, "start": whole - some.runs * wall}


def warm_seconds(stamps: list[tuple[int, float]]) -> float:
    """Seconds a run, by when the runs of each process ended. The first run of each only warms it up: it pays for
    imports. What Hydra does between two runs counts; that one process is done before the other does not.

    >>> warm_seconds([(1, 5.0), (1, 6.0), (1, 7.0), (2, 9.0), (2, 10.0)])
    0.5
    """
    ends: dict[int, list[float]] = {}
    for process, end in stamps:
        ends.setdefault(process, []).append(end)
    rates = [(len(times) - 1) / (max(times) - min(times)) for times in ends.values() if len(times) > 1]
    return 1 / sum(rates)
