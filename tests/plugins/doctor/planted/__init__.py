"""A plugin whose components are broken on purpose, each in its own way."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

import harness
from harness.config.settings import Split
from harness.datasets.dataset import Dataset, from_arrays

from .tables import amounts, drawn, rows


class _Net(nn.Module):
    """An mlp with something behind it."""

    def __init__(self, inputs: tuple[int, ...], outputs: int, block: Any, end: nn.Module) -> None:
        super().__init__()
        size = int(torch.Size(inputs).numel())
        self.body = nn.Sequential(nn.Linear(size, 64), block(64), nn.Linear(64, 64), block(64))
        self.head = nn.Linear(64, outputs)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.head(self.body(x.flatten(1))))


@harness.model(real_inputs=True)
def softmax_out(inputs: tuple[int, ...], outputs: int, block: Any) -> nn.Module:
    """Ends in a softmax, before a loss that takes one."""
    return _Net(inputs, outputs, block, nn.Softmax(1))


@harness.model(real_inputs=True)
def relu_out(inputs: tuple[int, ...], outputs: int, block: Any) -> nn.Module:
    """Ends in a ReLU: no output is below zero."""
    return _Net(inputs, outputs, block, nn.ReLU())


class _Detached(_Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x.flatten(1)).detach())


@harness.model(real_inputs=True)
def detached(inputs: tuple[int, ...], outputs: int, block: Any) -> nn.Module:
    """Detaches what its hidden layers make: the head alone is trained."""
    return _Detached(inputs, outputs, block, nn.Identity())


@harness.model(real_inputs=True)
def unused(inputs: tuple[int, ...], outputs: int, block: Any) -> nn.Module:
    """Has a branch that nothing uses."""
    net = _Net(inputs, outputs, block, nn.Identity())
    net.branch = nn.Linear(64, outputs)
    return net


class _Greedy(_Net):
    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 32 and self.training:
            raise MemoryError("out of memory: tried to allocate 96.00 GiB")
        return super().forward(x)


@harness.model(real_inputs=True)
def greedy(inputs: tuple[int, ...], outputs: int, block: Any) -> nn.Module:
    """Has no memory for more than 32 samples at once."""
    return _Greedy(inputs, outputs, block, nn.Identity())


class _Stuck(nn.BatchNorm1d):
    """Never notes what it has seen: in evaluation, mean 0 and variance 1."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return nn.functional.batch_norm(x, None, None, self.weight, self.bias, True)
        return super().forward(x)


@harness.normalization(cancels_bias=True)
def stuck_batch_norm(features: int, ndim: int) -> nn.Module:
    """Batch normalization whose running averages stay where they begin."""
    return _Stuck(features)


@harness.normalization(cancels_bias=True)
def training_batch_norm(features: int, ndim: int) -> nn.Module:
    """Batch normalization that is never put into evaluation mode: it keeps no running averages."""
    return nn.BatchNorm1d(features, track_running_stats=False)


class _Slow(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, x: Tensor, y: Tensor, seconds: float) -> None:
        self.x, self.y, self.seconds = x, y, seconds

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        return self.x[place], self.y[place]


@harness.data
def slow(split: Split, generator: torch.Generator, *, in_memory: bool = False, seconds: float = 1e-3) -> Dataset:
    """Iris whose samples take a while to come, unless they are held in memory."""
    from sklearn.datasets import load_iris

    found = load_iris()
    x = (found.data - found.data.mean(0)) / found.data.std(0)
    whole = from_arrays(x, found.target, split, generator, target="class", classes=range(3))
    if in_memory:
        return whole
    parts = {name: _Slow(whole.part(name).x, whole.part(name).y, seconds) for name in ("train", "val", "test")}
    return Dataset(**parts, target="class", classes=whole.classes, digest=f"slow-{split.seed}-{seconds}")


@harness.data
def coded(split: Split, generator: torch.Generator, *, name: str = "wine", kind: str = "real") -> Dataset:
    """Classes as numbers 0, 1, 2 ..., to be learned as amounts."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    x = found.data.reshape(len(found.data), -1)
    if kind == "class":
        return from_arrays(x, found.target, split, generator, target="class", classes=range(found.target.max() + 1))
    return from_arrays(x, found.target[:, None], split, generator, target="real")


@harness.data
def noisy(split: Split, generator: torch.Generator, *, name: str = "wine", p: float = 0.3) -> Dataset:
    """A share of the training labels is wrong."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    classes = int(found.target.max()) + 1
    x = found.data.reshape(len(found.data), -1)
    made = from_arrays(x, found.target, split, generator, target="class", classes=range(classes))
    y = made.train.y
    wrong = torch.randperm(len(y), generator=generator)[: round(p * len(y))]
    y[wrong] = (y[wrong] + torch.randint(1, classes, (len(wrong),), generator=generator)) % classes
    return made


@harness.data
def doubled(split: Split, generator: torch.Generator, *, name: str = "wine", noise: float = 0.0) -> Dataset:
    """Every sample stands in the set three times before it is divided, with or without a little noise."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    x = torch.as_tensor(found.data.reshape(len(found.data), -1)).double().repeat(3, 1)
    x = x + noise * x.std(0) * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    y = torch.as_tensor(found.target).repeat(3)
    return from_arrays(x.numpy(), y.numpy(), split, generator, target="class", classes=range(int(y.max()) + 1))


@harness.activation
def outside(x: Tensor) -> Tensor:
    """Computes in numpy: no gradient passes."""
    return torch.from_numpy(abs(x.detach().numpy()))


@harness.optimizer
def ascent(params: Any, *, lr: float = 0.001) -> torch.optim.Optimizer:
    """Adds the gradient."""
    return torch.optim.SGD(params, lr=lr, maximize=True)


@harness.hookimpl
def harness_components() -> list[Any]:
    return [
        softmax_out, relu_out, detached, unused, greedy, stuck_batch_norm, training_batch_norm, slow, coded, noisy,
        doubled, rows, amounts, drawn, outside, ascent,
    ]  # fmt: skip
