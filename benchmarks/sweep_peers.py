"""What a contestant's process does when it is asked for a sweep; each function imports only what it needs."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
Run = tuple[int, float]  # its seed and its learning rate


def harness_sweep(overrides: list[str]) -> Figures:
    """The harness as a user calls it, into a study of its own: composing, records, events and weights included."""
    import psutil

    import harness

    study = f"bench-{uuid.uuid4().hex[:8]}"
    start = time.perf_counter()
    records = harness.sweep([*overrides, f"study={study}"])
    seconds = time.perf_counter() - start
    resident = psutil.Process().memory_info().rss  # while the records are at hand
    bad = [record for record in records if record.status != "completed" or record.cached]
    if bad:
        raise RuntimeError(f"{len(bad)} of {len(records)} runs: {bad[0]} {bad[0].error}")
    shutil.rmtree(Path("outputs", study))
    count = len(records)
    scores = [record.metrics["test/accuracy"] for record in records]
    ways = sorted({f"{record.cohort['path']}, {record.cohort['executor']}" for record in records})
    return {
        "ms": seconds / count * 1e3,
        "share": sum(record.time["share_s"] for record in records) / count * 1e3,
        "accuracy": sum(scores) / count,
        "resident": resident / 1e6,
        "way": " and ".join(ways),
    }


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
    import numpy as np
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
    start = time.perf_counter()
    loaded = {name: torch.from_numpy(array) for name, array in np.load(arrays).items()}
    (x, y), val, test = ((loaded[f"x_{split}"], loaded[f"y_{split}"]) for split in ("train", "val", "test"))
    classes = int(y.max()) + 1
    scores = [train(seed, lr) for seed, lr in runs]
    return _figures(start, scores)


def sklearn(arrays: str, model: str, width: int, depth: int, batch_size: int, epochs: int, runs: list[Run]) -> Figures:
    """scikit-learn's own classifier. It validates once a run, not each epoch."""
    import numpy as np
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    start = time.perf_counter()
    flat = {name: array.reshape(len(array), -1) if name[0] == "x" else array for name, array in np.load(arrays).items()}
    scores = []
    for seed, lr in runs:
        net = MLPClassifier(
            (width,) * depth,
            solver="adam",
            alpha=0.0,
            batch_size=batch_size,
            learning_rate_init=lr,
            max_iter=epochs,
            tol=0.0,
            n_iter_no_change=epochs + 1,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # all its iterations is what it is asked for
            net.fit(flat["x_train"], flat["y_train"])
        net.score(flat["x_val"], flat["y_val"])
        scores.append(net.score(flat["x_test"], flat["y_test"]))
    return _figures(start, scores)


def matmul_peak(size: int) -> Figures:
    """The best of some float32 products of two large matrices, on one thread: operations a second."""
    import torch

    torch.set_num_threads(1)
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = 0.0
    for _ in range(6):
        start = time.perf_counter()
        a @ b
        best = max(best, 2 * size**3 / (time.perf_counter() - start))
    return {"flops": best}


def bare(count: int) -> Figures:
    """What a record cannot do without: a folder, 4 kB written beside, fsync, rename, fsync of the folder."""
    with tempfile.TemporaryDirectory(dir=".") as study:
        start = time.perf_counter()
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
        return {"ms": (time.perf_counter() - start) / count * 1e3}


def _figures(start: float, scores: list[float]) -> Figures:
    return {"ms": (time.perf_counter() - start) / len(scores) * 1e3, "accuracy": sum(scores) / len(scores)}
