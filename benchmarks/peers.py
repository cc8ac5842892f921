"""The same training as others write it: a loop by hand, and stock Lightning."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from harness.config import seeds

LR, BATCH, WIDTH = 1e-3, 64, 128
VAL, TEST = 0.16, 0.2

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Data:
    """Standardised inputs and classes, split as the harness splits them."""

    train: Pair
    val: Pair
    test: Pair
    classes: int


@dataclass(frozen=True)
class Result:
    """What a fit by a peer took, and how good it is."""

    seconds: float
    accuracy: float


def steps(samples: int, epochs: int) -> int:
    """Optimizer steps of a run."""
    return epochs * math.ceil(samples / BATCH)


def digits() -> Data:
    """scikit-learn's digits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = torch.tensor(found.images[:, None], dtype=torch.float32), torch.tensor(found.target)
    return standardised(*divided(x, y))


def npz(path: Path, frugal: bool = False) -> Data:
    """Arrays from a file. `frugal` standardises in place."""
    arrays = np.load(path)
    parts = divided(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["y"]))
    return standardised_in_place(*parts) if frugal else standardised(*parts)


def divided(x: Tensor, y: Tensor) -> list[Pair]:
    """Train, validation and test, by the permutation that the harness draws for `split.seed=0`."""
    order = torch.randperm(len(x), generator=seeds.generator(0, "split"))
    test, val = math.ceil(len(x) * TEST), math.ceil(len(x) * VAL)
    return [(x[i], y[i]) for i in (order[test + val :], order[test : test + val], order[:test])]


def standardised(train: Pair, val: Pair, test: Pair) -> Data:
    """Mean 0 and deviation 1 by the training inputs."""
    mean, std = train[0].mean(), train[0].std(correction=0)
    train = ((train[0] - mean) / std, train[1])
    val = ((val[0] - mean) / std, val[1])
    test = ((test[0] - mean) / std, test[1])
    return Data(train, val, test, int(train[1].max()) + 1)


def standardised_in_place(train: Pair, val: Pair, test: Pair) -> Data:
    """The same numbers, with no second copy of any split."""
    std, mean = torch.std_mean(train[0], correction=0)
    for x, _ in (train, val, test):
        x.sub_(mean).div_(std)
    return Data(train, val, test, int(train[1].max()) + 1)


def mlp(data: Data) -> nn.Sequential:
    """The network that `model=mlp` is by default, initialised as `initializer=he_normal` does."""
    sizes = [data.train[0][0].numel(), WIDTH, WIDTH, data.classes]
    layers: list[nn.Module] = [nn.Flatten()]
    for index, fan_in in enumerate(sizes[:-1]):
        linear = nn.Linear(fan_in, sizes[index + 1])
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def score(model: nn.Module, x: Tensor, y: Tensor) -> tuple[float, float]:
    """Loss and accuracy."""
    model.eval()
    with torch.no_grad():
        out = model(x)
        return F.cross_entropy(out, y).item(), (out.argmax(1) == y).float().mean().item()


def loop(data: Data, epochs: int, fused: bool | None = None) -> Result:
    """The loop by hand on tensors in memory, validated each epoch; nothing is logged, nothing is kept."""
    model = mlp(data)
    start = time.perf_counter()
    optimizer = torch.optim.Adam(model.parameters(), LR, fused=fused)
    x, y = data.train
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(x))
        for first in range(0, len(x), BATCH):
            index = order[first : first + BATCH]
            loss = F.cross_entropy(model(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        score(model, *data.val)
    return Result(time.perf_counter() - start, score(model, *data.test)[1])


class Module(pl.LightningModule):
    """A LightningModule as the tutorials have it."""

    def __init__(self, model: nn.Module, classes: int) -> None:
        super().__init__()
        self.model = model
        self.accuracy = torchmetrics.classification.MulticlassAccuracy(classes, average="micro")

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.model(x), y)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], batch_index: int) -> None:
        x, y = batch
        out = self.model(x)
        self.accuracy(out, y)
        self.log("val/loss", F.cross_entropy(out, y))
        self.log("val/accuracy", self.accuracy)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), LR)


def lightning(data: Data, epochs: int, folder: Path) -> Result:
    """Stock Lightning with DataLoaders, `self.log`, TensorBoard and its default callbacks, but no progress bar."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    module = Module(mlp(data), data.classes)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # it greets, warns and prints a summary
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            logger=pl.loggers.TensorBoardLogger(str(folder)),
            enable_progress_bar=False,
        )
        train = DataLoader(TensorDataset(*data.train), BATCH, shuffle=True)
        val = DataLoader(TensorDataset(*data.val), BATCH)
        start = time.perf_counter()
        trainer.fit(module, train, val)
        seconds = time.perf_counter() - start
    return Result(seconds, score(module.model, *data.test)[1])
