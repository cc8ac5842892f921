"""Functions that contestants' processes call. Each imports only the packages that it needs."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.warm import Stopwatch

Figures = dict[str, Any]
Run = tuple[int, float]  # its seed and its learning rate
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def harness_sweep(overrides: list[str]) -> Figures:
    """A sweep by harness as a user calls it: composing, records, events and weights included."""
    import psutil

    import harness

    with _study() as study:
        watch = Stopwatch()
        records = harness.sweep([*overrides, study])
        figures = watch.per_run(len(records))
        resident = psutil.Process().memory_info().rss  # while the records are at hand
    bad = [record for record in records if record.status != "completed" or record.cached]
    if bad:
        raise RuntimeError(f"{len(bad)} of {len(records)} runs: {bad[0]} {bad[0].error}")
    count = len(records)
    ways = sorted({f"{record.cohort['path']}, {record.cohort['executor']}" for record in records})
    return figures | {
        "share": sum(record.time["share_s"] for record in records) / count * 1e3,
        "accuracy": sum(record.metrics["test/accuracy"] for record in records) / count,
        "resident": resident / 1e6,
        "way": " and ".join(ways),
    }


def harness_run(overrides: list[str]) -> Figures:
    """A single run by harness; `fit_wall` and `fit_cpu` are the times of its training."""
    import harness

    with _study() as study, _fits() as fits:
        watch = Stopwatch()
        record = harness.run([*overrides, study])
        figures = watch.per_run(1)
    if record.status != "completed":
        raise RuntimeError(f"{record} {record.error}")
    return figures | _training(fits[0]) | {"accuracy": record.metrics["test/accuracy"]}


@contextmanager
def _study() -> Iterator[str]:
    """A study that does not outlive the block, as an override."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    yield f"study={name}"
    shutil.rmtree(Path("outputs", name))


@contextmanager
def _fits() -> Iterator[list[Figures]]:
    """Record the time of each `Trainer.fit` within the block."""
    import pytorch_lightning as pl

    found: list[Figures] = []
    real = pl.Trainer.fit

    def fit(self: pl.Trainer, *given: Any, **named: Any) -> None:
        watch = Stopwatch()
        real(self, *given, **named)
        found.append(watch.per_run(1))

    with mock.patch.object(pl.Trainer, "fit", fit):
        yield found


def _training(figures: Figures) -> Figures:
    return {f"fit_{name}": value for name, value in figures.items()}


def loop(
    arrays: str,
    model: str,
    width: int,
    depth: int,
    batch_size: int,
    epochs: int,
    runs: list[Run],
    fused: bool | None = None,
) -> Figures:
    """PyTorch by hand, one run after another in one thread; validated each epoch, tested at the end, nothing kept."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F

    from benchmarks.stock_app.networks import network

    def score(net: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
        with torch.no_grad():
            out = net(x)
            return F.cross_entropy(out, y).item(), (out.argmax(1) == y).float().mean().item()

    def train(seed: int, lr: float) -> float:
        torch.manual_seed(seed)
        net = network(model, x.shape[1:], classes, width, depth)
        optimizer = torch.optim.Adam(net.parameters(), lr, fused=fused)
        for _ in range(epochs):
            order = torch.randperm(len(x))
            for first in range(0, len(x), batch_size):
                index = order[first : first + batch_size]
                loss = F.cross_entropy(net(x[index]), y[index])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            score(net, *val)
        return score(net, *test)[1]

    torch.set_num_threads(1)
    whole = Stopwatch()
    loaded = _splits(arrays)
    (x, y), val, test = ((loaded[f"x_{split}"], loaded[f"y_{split}"]) for split in ("train", "val", "test"))
    classes = int(y.max()) + 1
    training = Stopwatch()
    scores = [train(seed, lr) for seed, lr in runs]
    figures = _training(training.per_run(len(runs))) | whole.per_run(len(runs))
    return figures | {"accuracy": sum(scores) / len(scores)}


def _splits(path: str) -> Figures:
    """The tensors of a file by name and split. A file of one array is split, and standardised in place."""
    import numpy as np
    import torch

    arrays = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    if "x" not in arrays:
        return arrays
    count = len(arrays["x"])
    indices = torch.randperm(count).split([count - 2 * (count // 5), count // 5, count // 5])
    parts = dict(zip(("train", "val", "test"), indices, strict=True))
    found = {f"{name}_{split}": arrays[name][index] for name in "xy" for split, index in parts.items()}
    std, mean = torch.std_mean(found["x_train"])
    for split in parts:
        found[f"x_{split}"].sub_(mean).div_(std)
    return found


def product(sizes: Sequence[int]) -> Figures:
    """The fastest float32 product of the libraries here on one thread: operations a second, library and size."""
    import numpy as np
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(1)
    found: dict[str, float] = {}
    for size in sizes:
        a, b, out = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)
        arrays = [tensor.numpy() for tensor in (a, b, out)]
        blocked = [tensor.to_mkldnn() for tensor in (a, b, torch.zeros(size))]
        ways: dict[str, Callable[[], Any]] = {
            "torch.mm": lambda a=a, b=b, out=out: torch.mm(a, b, out=out),
            "numpy.matmul": lambda arrays=arrays: np.matmul(arrays[0], arrays[1], out=arrays[2]),
            "oneDNN's linear layer": lambda blocked=blocked: F.linear(*blocked),
        }
        for name, way in ways.items():
            for _ in range(5):
                start = time.process_time()
                way()
                seconds = time.process_time() - start
                found[f"{name}, {size}"] = max(found.get(f"{name}, {size}", 0.0), 2 * size**3 / seconds)
    best = max(found, key=found.__getitem__)
    return {"flops": found[best], "way": best}


def peak_memory(function: str, tiny: Figures, given: Figures) -> Figures:
    """Megabytes that a function of this module takes above the level before it, once it has been called with `tiny`."""
    call = globals()[function]
    call(**tiny)
    gc.collect()
    before = _resident("VmRSS")
    CLEAR.write_text("5")  # the peak is counted from here
    call(**given)
    return {"peak": max(1.0, _resident("VmHWM") - before) / 1e6}  # toy data may stay below what is there already


def _resident(key: str) -> int:
    """Bytes: VmRSS, what this process holds; VmHWM, the most it held since the last reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024


def bare(count: int) -> Figures:
    """The least that a durable record costs: a folder, 4 kB in a new file, fsync, rename, fsync of the folder."""
    with tempfile.TemporaryDirectory(dir=".") as study:
        watch = Stopwatch()
        for index in range(count):
            folder = Path(study, str(index))
            folder.mkdir()
            with (folder / "beside").open("wb") as file:
                file.write(b"0" * 4096)
                file.flush()
                os.fsync(file.fileno())
            (folder / "beside").replace(folder / "record.json")
            handle = os.open(folder, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
        return watch.per_run(count)
