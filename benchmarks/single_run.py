"""Time of a single run: ours, a loop by hand on the same tensors, and stock Lightning; all in one thread."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

import harness
from benchmarks import peers
from benchmarks.measure import Figures, Times, interleave, interval, ratio, table
from harness.config import composition
from harness.execution.preparation import prepare

OURS, LOOP, FUSED, STOCK = "harness", "loop, Adam", "loop, Adam(fused=True)", "stock Lightning"
CLOSE = 0.02  # mean test accuracies of the contestants differ by no more


@contextmanager
def scratch() -> Iterator[Path]:
    """A new working folder, and one thread."""
    before, threads = Path.cwd(), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        torch.set_num_threads(1)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
            torch.set_num_threads(threads)


def same_data(data: peers.Data) -> None:
    """Raises AssertionError if the harness trains on other tensors than the peers do."""
    ours = prepare(composition.compose(["split.stratify=false"])).dataset
    for split in ("train", "val", "test"):
        part, (x, y) = ours.part(split), getattr(data, split)
        assert isinstance(part, harness.Samples), split
        torch.testing.assert_close(part.x, x, msg=f"{split}: other inputs")
        assert torch.equal(part.y, y), f"{split}: other targets"


def contestants(epochs: int, folder: Path) -> dict[str, Callable[[], Figures]]:
    """Each trains once: seconds of the fit, of the whole run from the data's file to the test score, and the score."""
    seeds = itertools.count()

    def ours() -> Figures:
        start = time.perf_counter()
        record = harness.run([f"epochs={epochs}", f"seed={next(seeds)}", "study=single_run"])
        whole = time.perf_counter() - start
        assert record.status == "completed", record.error
        assert record.time["epochs"] == epochs
        return {"fit": record.time["fit_s"], "whole": whole, "accuracy": record.metrics["test/accuracy"]}

    def peer(train: Callable[[peers.Data], peers.Result]) -> Callable[[], Figures]:
        def run() -> Figures:
            torch.manual_seed(next(seeds))
            start = time.perf_counter()
            result = train(peers.digits())
            return {"fit": result.seconds, "whole": time.perf_counter() - start, "accuracy": result.accuracy}

        return run

    return {
        OURS: ours,
        LOOP: peer(lambda data: peers.loop(data, epochs)),
        FUSED: peer(lambda data: peers.loop(data, epochs, fused=True)),
        STOCK: peer(lambda data: peers.lightning(data, epochs, folder / "stock")),
    }


def measured(epochs: int, rounds: int) -> Times:
    """Interleaved rounds. Raises AssertionError if the contestants do not learn the same thing equally well."""
    with scratch() as folder:
        same_data(peers.digits())
        times = interleave(contestants(epochs, folder), rounds)
    scores = {name: statistics.mean(found["accuracy"]) for name, found in times.items()}
    if epochs >= 20:
        assert max(scores.values()) - min(scores.values()) < CLOSE, f"unequal accuracies: {scores}"
    return times


def shown(times: Times, epochs: int) -> str:
    """One row a contestant and figure: milliseconds, microseconds a step, and the ratios."""
    steps = peers.steps(len(peers.digits().train[0]), epochs)
    rows = []
    for figure, name in itertools.product(("fit", "whole"), times):
        seconds = interval(times[name][figure])
        rows.append(
            [
                f"{figure}: {name}",
                f"{seconds.median * 1e3:.0f}",
                f"{seconds.median / steps * 1e6:.0f}",
                ratio(times, figure, name, LOOP).show(),
                ratio(times, figure, name, FUSED).show(),
                f"{statistics.mean(times[name]['accuracy']):.3f}",
            ]
        )
    rounds = len(times[OURS]["fit"])
    title = f"Single run: digits, mlp 64-128-128-10, batch 64, {epochs} epochs, {rounds} rounds, one thread"
    return table(title, ["", "ms", "us/step", "/ loop", "/ fused loop", "accuracy"], rows)


def report(quick: bool = False) -> str:
    """The tables of this benchmark."""
    plan = [(1, 1)] if quick else [(20, 15), (100, 7)]
    return "\n".join(shown(measured(epochs, rounds), epochs) for epochs, rounds in plan)
