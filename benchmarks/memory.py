"""Peak memory of a single run: each contestant in a process of its own, above the level after imports and a warm-up."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import peers
from benchmarks.measure import Figures, Times, interleave, interval, ratio, table

OURS, LOOP, FRUGAL, STOCK = "harness", "loop", "loop, frugal", "stock Lightning"
NAMES = (OURS, LOOP, FRUGAL, STOCK)
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
LARGE, SMALL = 70_000, 1_797  # images of 28 x 28 float32: 220 and 6 MB
MB = 1e6


def write_data(path: Path, samples: int) -> None:
    """Images of noise in ten classes."""
    chance = np.random.default_rng(0)
    x = chance.standard_normal((samples, 1, 28, 28), dtype=np.float32)
    np.savez(path, x=x, y=chance.integers(0, 10, samples))


def resident(key: str) -> int:
    """Bytes: VmRSS, what this process holds; VmHWM, the most it held since the last reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def train(name: str, path: Path, epochs: int, folder: Path) -> None:
    """One run of a contestant, from the file to the score."""
    if name == OURS:
        import harness

        record = harness.run(["data=npz", f"data.path={path}", f"epochs={epochs}", f"study={path.stem}"])
        assert record.status == "completed", record.error
    elif name == STOCK:
        peers.lightning(peers.npz(path), epochs, folder / path.stem)
    else:
        peers.loop(peers.npz(path, frugal=name == FRUGAL), epochs, fused=True)


def child(name: str, tiny: str, path: str, epochs: str) -> None:
    """What the process of a contestant does: it prints the bytes of its peak above its level before the run."""
    from benchmarks.single_run import scratch

    with scratch() as folder:
        train(name, Path(tiny), 1, folder)
        gc.collect()
        before = resident("VmRSS")
        CLEAR.write_text("5")  # the peak is counted from here
        train(name, Path(path), int(epochs), folder)
        print(json.dumps(resident("VmHWM") - before))


def peak(name: str, tiny: Path, path: Path, epochs: int) -> Figures:
    """A contestant's peak, in a new process."""
    command = "import sys; from benchmarks.memory import child; child(*sys.argv[1:])"
    line = [sys.executable, "-c", command, name, str(tiny), str(path), str(epochs)]
    root = Path(__file__).parent.parent
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
    return {"peak": max(1.0, float(done.stdout.splitlines()[-1]))}  # toy data may stay below what is there already


def measured(samples: int, epochs: int, rounds: int) -> Times:
    """Interleaved rounds of new processes."""
    with tempfile.TemporaryDirectory() as folder:
        tiny, path = Path(folder) / "tiny.npz", Path(folder) / "data.npz"
        write_data(tiny, 200)
        write_data(path, samples)
        runs = {name: lambda name=name: peak(name, tiny, path, epochs) for name in NAMES}
        return interleave(runs, rounds, warm_up=False)


def shown(times: Times, samples: int) -> str:
    """One row a contestant: megabytes and ratios."""
    rows = [
        [
            name,
            f"{interval(found['peak']).median / MB:.1f}",
            ratio(times, "peak", name, LOOP).show(),
            ratio(times, "peak", name, FRUGAL).show(),
        ]
        for name, found in times.items()
    ]
    rounds = len(times[OURS]["peak"])
    data = samples * 28 * 28 * 4 / MB
    title = f"Peak memory above the level after imports: npz of {data:.0f} MB, mlp, {rounds} rounds, one thread"
    return table(title, ["", "MB", "/ loop", "/ frugal loop"], rows)


def report(quick: bool = False) -> str:
    """The tables of this benchmark; a line where the system cannot tell a process's peak."""
    if not CLEAR.exists():
        return "Peak memory: needs Linux (/proc/self/clear_refs)\n"
    plan = [(300, 1, 1)] if quick else [(LARGE, 1, 3), (SMALL, 5, 3)]
    return "\n".join(shown(measured(n, epochs, rounds), n) for n, epochs, rounds in plan)
