"""Components with one fault each: optimizers, models, data, transforms, metrics and others."""

from __future__ import annotations

import math
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torchmetrics
from torch import Tensor, nn

import harness
from harness.datasets.dataset import Samples

from .marks import fault

KEPT: dict[str, Any] = {}


class Plain(torch.optim.Optimizer):
    """Gradient descent, to be spoilt."""

    def __init__(self, params: Any, lr: float = 0.1, **more: Any) -> None:
        super().__init__(params, {"lr": lr, **more})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, group)

    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        p.sub_(p.grad, alpha=group["lr"])  # type: ignore[arg-type]


class GlobalState(Plain):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        v = KEPT.setdefault(f"v{tuple(p.shape)}", torch.zeros_like(p, dtype=torch.float32))
        v.mul_(0.9).add_(p.grad)  # type: ignore[arg-type]
        p.sub_(v, alpha=group["lr"])


@fault("repeats")
@harness.optimizer
def global_state(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Momentum that all runs of a process share: v ← 0.9 v + g."""
    return GlobalState(params, lr)


class Attribute(Plain):
    """Holds its momentum beside its state."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)
        self.kept: dict[int, Tensor] = {}

    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        v = self.kept.setdefault(id(p), torch.zeros_like(p)).mul_(0.9).add_(p.grad)  # type: ignore[arg-type]
        p.sub_(v, alpha=group["lr"])


@fault("resumes")
@harness.optimizer
def forgets(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Momentum that no checkpoint holds: v ← 0.9 v + g."""
    return Attribute(params, lr)


class Ascends(Plain):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        p.add_(p.grad, alpha=group["lr"])  # type: ignore[arg-type]


@fault("descends")
@harness.optimizer
def ascends(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Steps along the gradient, and not against it: w ← w + lr g."""
    return Ascends(params, lr)


class Needy(Plain):
    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=group["lr"])


@fault("ungraded")
@harness.optimizer
def needs_every_gradient(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Takes for granted that each parameter has a gradient: w ← w - lr g."""
    return Needy(params, lr)


class Rounds(Plain):
    def update(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["v"] = torch.zeros(p.shape)
        state["v"].mul_(0.9).add_(p.grad.float())  # type: ignore[union-attr]
        p.sub_(state["v"].to(p), alpha=group["lr"])


@fault("devices")
@harness.optimizer
def single_state(params: Any, *, lr: float = 0.01) -> torch.optim.Optimizer:
    """Momentum in single precision, whatever the weights are: v ← 0.9 v + g."""
    return Rounds(params, lr)


@fault("builds")
@harness.scheduler
def below_zero(optimizer: Any) -> Any:
    """Falls by a tenth a step, and does not stop at zero."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / 10)


class Ignoring(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(width, outputs), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x.flatten(1))


@fault("every_parameter")
@harness.model(tasks=("classification",))
def ignores_a_layer(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A linear layer, and one beside it that is never used."""
    return Ignoring(math.prod(inputs), outputs)


class Noisy(nn.Module):
    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.layer, self.dropout = nn.Linear(width, outputs), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.layer(x.flatten(1)))


@fault("modes")
@harness.model(tasks=("classification",))
def undeclared_dropout(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A linear layer with a dropout that it does not tell of."""
    return Noisy(math.prod(inputs), outputs)


@fault("modes")
@harness.model(tasks=("classification",), training=True)
def no_dropout(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A linear layer that declares to be another in training."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(inputs), outputs))


@fault("traits")
@harness.model(tasks=("classification",), input_ndim=(1, 2, 3))
def images_alone(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A convolution, which takes images and vectors, and declares sequences too."""
    if len(inputs) == 1:
        return nn.Linear(inputs[0], outputs)
    channels, height, width = inputs
    layers = nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(4 * (height - 2) * (width - 2), outputs)
    return nn.Sequential(*layers)


@fault("repeats")
@harness.data
def counts_up(split: Any, generator: Any) -> Any:
    """Samples that are others each time that they are asked for."""
    KEPT["asked"] = KEPT.get("asked", 0) + 1
    x = torch.rand(60, 3, generator=generator) + KEPT["asked"]
    return harness.from_arrays(x.numpy(), torch.arange(60) % 2, split, generator, target="class", classes=range(2))


@fault("disjoint")
@harness.data
def tests_on_training(split: Any, generator: Any) -> Any:
    """Two clouds, whose test samples are among the training samples."""
    x, y = torch.randn(60, 3, generator=generator), torch.arange(60) % 2
    made = harness.from_arrays(x.numpy(), y.numpy(), split, generator, target="class", classes=range(2))
    return replace(made, test=Samples(made.train.x[:12], made.train.y[:12]))


@fault("traits")
@harness.data(reads=())
def reads_what_it_does_not_name(split: Any, generator: Any) -> Any:
    """Two clouds, whose size stands in a file that no setting names."""
    file = Path(tempfile.gettempdir()) / "size-of-clouds.txt"
    file.write_text("60")
    x = torch.randn(int(file.read_text()), 3, generator=generator)
    return harness.from_arrays(x.numpy(), torch.arange(60) % 2, split, generator, target="class", classes=range(2))


@fault("fitted")
@harness.transform
def fitted_on_all(train: Tensor) -> Any:
    """Standardized by the mean and the deviation of whatever it is given."""
    return lambda x: (x - x.mean(0)) / (x.std(0, correction=0) + 1e-6)


@fault("fitted")
@harness.transform
def goes_on_fitting(train: Tensor) -> Any:
    """Centred by a mean that moves on with all that it sees."""
    mean = train.mean(0)

    def centred(x: Tensor) -> Tensor:
        mean.lerp_(x.mean(0), 0.1)
        return x - mean.clone()

    return centred


@fault("pure")
@harness.corruption
def in_place(dataset: Any, generator: Any) -> Any:
    """Swaps the first two training inputs, in the data set that it was given."""
    dataset.train.x[:2] = dataset.train.x[:2].flip(0).clone()
    return replace(dataset)


@fault("globals")
@harness.augmentation
def pythons_generator() -> Any:
    """Makes each batch larger or smaller, by a number from Python's own generator."""
    return lambda x, y, noise: (x * (1 + 0.1 * random.random()), y)


@fault("builds")
@harness.regularizer
def does_nothing() -> harness.Regularizer:
    """Overrides no hook: it changes nothing."""
    return harness.Regularizer()


class Quiet(harness.Regularizer):
    def penalty(self, params: dict[str, Tensor]) -> Tensor:
        return torch.log(sum(p.square().sum() for p in params.values()))  # type: ignore[arg-type]


@fault("scalar")
@harness.regularizer
def log_of_zero() -> harness.Regularizer:
    """The logarithm of the weights' squares: log Σ w², which of zero is none."""
    return Quiet()


class Averages(torchmetrics.Metric):
    """The mean of the batches' means of the squares: wrong where batches differ."""

    higher_is_better = False
    found: list[Tensor]

    def __init__(self, halved: bool = False) -> None:
        super().__init__()
        self.add_state("found", default=[], dist_reduce_fx="cat")
        self.halved = halved

    def update(self, prediction: Tensor, target: Tensor) -> None:
        self.found.append((prediction - target).square().mean().reshape(1))

    def compute(self) -> Tensor:
        return torch.cat(self.found).mean() / 2 if self.halved else torch.cat(self.found).max()


@fault("accumulates")
@harness.metric(tasks=("regression",))
def worst_batch() -> torchmetrics.Metric:
    """Mean squared error, of which the worst batch's is told."""
    return Averages()


@fault("cases")
@harness.metric(tasks=("regression",), cases=(([[1.0], [2.0]], [[1.0], [4.0]], 2.0),))
def half_the_error() -> torchmetrics.Metric:
    """Half the mean squared error, which by its own case is the whole."""
    return Averages(halved=True)


@fault("globals")
@harness.normalization
def sets_threads(features: int) -> nn.Module:
    """None, and it takes another number of threads for itself."""
    torch.set_num_threads(torch.get_num_threads() % 2 + 1)
    return nn.Identity()


@fault("traits")
@harness.normalization(cancels_bias=True)
def keeps_bias(features: int) -> nn.Module:
    """A scale for each channel, said to cancel a bias before it."""
    return nn.Identity()
