"""Workloads: named cases, as overrides for harness and as plain arrays for its peers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness.config import composition
from harness.execution.preparation import prepare

LRS = (0.0003, 0.001, 0.003, 0.01)
FAST = (0.003, 0.005, 0.007, 0.01)  # for few epochs: what is half learned depends on the seed
MILD = (0.0005, 0.001, 0.002, 0.004)  # for larger images: with a larger one now and then a run dies
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Case:
    """A sweep over seeds and learning rates of Adam. `data` is digits, vectors or images."""

    title: str
    data: str = "digits"
    samples: int = 0  # of synthetic data
    model: str = "mlp"
    width: int = 128
    depth: int = 2
    batch_size: int = 64
    epochs: int = 20
    seeds: int = 16
    lrs: tuple[float, ...] = LRS
    close: float = 0.02  # mean test accuracies of the contestants differ by no more

    @property
    def runs(self) -> int:
        return self.seeds * len(self.lrs)

    def toy(self) -> Case:
        """The same at a size that measures nothing."""
        return replace(self, samples=min(self.samples, 200), epochs=1, seeds=2, lrs=self.lrs[:2])

    def few(self) -> Case:
        """Some of the runs, each learning rate as often as the others: enough of those that are trained in a row."""
        return replace(self, seeds=min(self.seeds, 2))

    def tiny(self, runs: int) -> Case:
        """So many runs of one epoch: what a start-up is measured with."""
        return replace(self, epochs=1, seeds=runs, lrs=self.lrs[-1:])

    def one(self, epochs: int) -> Case:
        """A single run."""
        return replace(self, epochs=epochs, seeds=1, lrs=self.lrs[-1:])


@dataclass(frozen=True)
class Work:
    """A case's data in files: `source` for the harness; `arrays` with the very tensors that the harness trains on."""

    source: Path | None
    arrays: Path

    def overrides(self, case: Case) -> list[str]:
        """The overrides of a command `harness` or `harness -m`; all train on the CPU, also where there is a GPU."""
        data = [f"data={case.data}"] if self.source is None else ["data=npz", f"data.path={self.source}"]
        sizes = [] if case.model == "cnn" else [f"model.width={case.width}", f"model.depth={case.depth}"]
        seeds, rates = f"range({case.seeds})" if case.seeds > 1 else "0", ",".join(map(str, case.lrs))
        return [
            *data,
            f"model={case.model}",
            *sizes,
            f"batch_size={case.batch_size}",
            f"epochs={case.epochs}",
            f"seed={seeds}",
            f"optimizer.lr={rates}",
            "trainer=cpu",
        ]

    def plain(self, case: Case) -> dict[str, Any]:
        """The same for a peer."""
        return {
            "arrays": str(self.arrays),
            "model": case.model,
            "width": case.width,
            "depth": case.depth,
            "batch_size": case.batch_size,
            "epochs": case.epochs,
            "runs": [[seed, lr] for seed in range(case.seeds) for lr in case.lrs],
        }


@contextmanager
def written(case: Case) -> Iterator[Work]:
    """The data of a case, in a folder that does not outlive the block."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = None if case.data == "digits" else folder / "data.npz"
        if source is not None:
            write_synthetic(source, case)
        work = Work(source, folder / "arrays.npz")
        overrides = work.overrides(replace(case, seeds=1, lrs=case.lrs[:1]))
        dataset = prepare(composition.compose(overrides)).dataset
        arrays: dict[str, np.ndarray] = {}
        for split in SPLITS:
            part = dataset.part(split)
            assert isinstance(part, harness.Samples), split
            arrays |= {f"x_{split}": part.x.numpy(), f"y_{split}": part.y.numpy()}
        np.savez(work.arrays, **arrays)
        yield work


def write_synthetic(path: Path, case: Case) -> None:
    """One centre a class, and noise around it: easy enough to be learned, not so easy that nothing is left to learn."""
    chance = np.random.default_rng(0)
    shape, classes, spread = ((1, 28, 28), 10, 1.0) if case.data == "images" else ((20,), 3, 1.5)
    centres = chance.standard_normal((classes, *shape), dtype=np.float32)
    y = chance.integers(0, classes, case.samples)
    x = centres[y] + spread * chance.standard_normal((case.samples, *shape), dtype=np.float32)
    np.savez(path, x=x, y=y)


DIGITS = Case("digits, mlp 64-128-128-10, batch 64")
SMALL = Case("20-32-3 on vectors, batch 32", "vectors", 5_000, width=32, depth=1, batch_size=32, seeds=64)
CNN = Case("digits, cnn 16-32 on 8 x 8, batch 64", model="cnn", epochs=5, seeds=4, lrs=FAST, close=0.03)
IMAGES = Case("cnn 16-32 on 28 x 28, batch 64", "images", 2_000, model="cnn", epochs=3, seeds=4, lrs=MILD)
