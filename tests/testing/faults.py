"""A plugin of planted faults, and of what is right beside them. Each is small, and wrong in one way."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
import torchmetrics
from annotated_types import Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

import harness
from harness.component import mark_of
from harness.dataset import Samples
from harness.space import Log, Uniform

EXPECTED: dict[str, str] = {}  # {kind/name: the check that is to find it}
KEPT: dict[str, Any] = {}


def fault(check: str) -> Any:
    """Marks a component as wrong in what a check looks at."""

    def mark(component: Any) -> Any:
        known = mark_of(component)
        assert known is not None
        EXPECTED[f"{known.kind}/{known.name}"] = check
        return component

    return mark


class Wrong(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * ctx.saved_tensors[0]


@fault("gradient")
@harness.activation
def wrong_backward(x: Tensor) -> Tensor:
    """The square, whose slope is told as half of what it is."""
    return Wrong.apply(x)  # type: ignore[no-untyped-call,no-any-return]


@fault("gradient")
@harness.activation
def cut_off(x: Tensor) -> Tensor:
    """A rectifier by a comparison, which no gradient passes."""
    return (x > 0).to(x.dtype)


@fault("documented")
@harness.activation
def undocumented(x: Tensor) -> Tensor:
    return torch.sin(x)


@fault("documented")
@harness.activation(reference="Sitzmann et al., Implicit neural representations, 2020, arXiv:2006.09661")
def no_formula(x: Tensor) -> Tensor:
    """A wave for every unit, as it was published."""
    return torch.sin(x)


@fault("referenced")
@harness.activation(reference="my blog")
def bad_reference(x: Tensor) -> Tensor:
    """A wave for every unit.

    f(x) = sin(x).
    """
    return torch.sin(x)


@fault("schema")
@harness.activation
def space_outside(x: Tensor, *, a: Annotated[float, Log(0.1, 10), Gt(0), Lt(1)] = 0.5) -> Tensor:
    """A slope below one, that is searched above one."""
    return a * x


@fault("samples")
@harness.activation
def breaks_above(x: Tensor, *, a: Annotated[float, Uniform(0, 4)] = 0.5) -> Tensor:
    """A power of the size, which is searched where it is none."""
    return x.abs().add(0.1) ** a if a < 1 else x / 0 * 0


@fault("builds")
@harness.activation
def other_shape(x: Tensor) -> Tensor:
    """A sum over the channels in the place of each of them."""
    return x.sum(-1)


@fault("traits")
@harness.activation(gain=10.0)
def untrue_gain(x: Tensor) -> Tensor:
    """The identity, with a gain of ten."""
    return x * 1.0


@fault("devices")
@harness.activation
def own_precision(x: Tensor) -> Tensor:
    """A wave that is computed in single precision, whatever it is given."""
    return torch.sin(x.float())


@fault("devices")
@harness.activation
def own_device(x: Tensor) -> Tensor:
    """A slope that lies on the CPU, whatever it is given."""
    return x * torch.linspace(0.5, 1.5, x.shape[-1], dtype=x.dtype, device="cpu")


@fault("pickles")
@harness.activation(name="another_name")
def _hidden(x: Tensor) -> Tensor:
    """A function that its module holds by another name."""
    return torch.sin(x)


hidden = _hidden
_hidden = torch.sin  # type: ignore[assignment]


@fault("fused")
@harness.activation
def looks_at_values(x: Tensor) -> Tensor:
    """A rectifier that asks whether there is anything to rectify."""
    if x.device.type != "meta" and bool((x.detach() < 0).any()):
        return F.relu(x)
    return F.relu(x) * 1.0


@fault("globals")
@harness.initializer
def global_generator(weight: Tensor) -> None:
    """Weights from torch's own generator: W ~ N(0, 0.01)."""
    weight.normal_(0, 0.1)


@fault("globals")
@harness.initializer
def numpys_generator(weight: Tensor) -> None:
    """Weights from numpy's own generator: W ~ N(0, 0.01)."""
    weight.copy_(torch.from_numpy(np.random.normal(0, 0.1, tuple(weight.shape))))  # noqa: NPY002


@fault("moments")
@harness.initializer(std=lambda fan_in, gain: gain / math.sqrt(fan_in))
def half_of_it(weight: Tensor, fan_in: int, gain: float, generator: torch.Generator) -> None:
    """Normal with half the deviation that it claims: W ~ N(0, gain² / fan_in)."""
    weight.normal_(0, gain / math.sqrt(fan_in) / 2, generator=generator)


@fault("moments")
@harness.initializer(std=0.1)
def off_centre(weight: Tensor, generator: torch.Generator) -> None:
    """Normal about something else than zero: W ~ N(0, 0.01)."""
    weight.normal_(0.05, 0.1, generator=generator)


@fault("builds")
@harness.initializer
def leaves_some(weight: Tensor, generator: torch.Generator) -> None:
    """Fills the first row: W₁ ~ N(0, 1)."""
    weight[0].normal_(generator=generator)


@fault("scalar")
@harness.loss(tasks=("regression",))
def a_vector(prediction: Tensor, target: Tensor) -> Tensor:
    """The squared error of each sample, [N]."""
    return (prediction - target).square().mean(1)


@fault("scalar")
@harness.loss(tasks=("classification",))
def overflows(prediction: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy by its formula: -log(exp(z_y) / Σ exp(z))."""
    p = prediction.mul(4).exp() / prediction.mul(4).exp().sum(1, keepdim=True)
    return -p.gather(1, target[:, None]).log().mean()


@fault("mean")
@harness.loss(tasks=("regression",))
def a_sum(prediction: Tensor, target: Tensor) -> Tensor:
    """The sum of the squared errors: Σ (ŷ - y)²."""
    return (prediction - target).square().sum()


@fault("gradient")
@harness.loss(tasks=("regression",))
def detached(prediction: Tensor, target: Tensor) -> Tensor:
    """The squared error over the size of the prediction, which is taken for a constant."""
    return ((prediction - target).square() / (1 + prediction.square()).detach()).mean()


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
@harness.model(tasks=("classification",))
def images_alone(inputs: tuple[int, ...], outputs: int) -> nn.Module:
    """A convolution, which takes images, and does not declare it."""
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


@fault("devices")
@harness.activation(skips={"devices": "it is right, and says that it is not"})
def needless_skip(x: Tensor) -> Tensor:
    """A wave for every unit, which passes what it declares to be skipped."""
    return torch.sin(x)


class Straight(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.sign(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad


@harness.activation(
    reference="Hubara et al., Binarized neural networks, NeurIPS 2016, arXiv:1602.02830",
    skips={"gradient": "the estimator is straight-through by design"},
)
def binarized(x: Tensor) -> Tensor:
    """The sign, with the gradient of the identity.

    f(x) = sign(x), and its slope is taken as 1.
    """
    return Straight.apply(x)  # type: ignore[no-untyped-call,no-any-return]


@harness.activation(reference="Sitzmann et al., Implicit neural representations, 2020, arXiv:2006.09661")
def right(x: Tensor, *, frequency: Annotated[float, Uniform(0.5, 3), Gt(0)] = 1.0) -> Tensor:
    """A wave for every unit.

    f(x) = sin(frequency · x).
    """
    return torch.sin(frequency * x)


@harness.hookimpl
def harness_components() -> list[Any]:
    """The right ones, and the wrong ones."""
    return [binarized, right, *(value for value in globals().values() if _planted(value))]


def _planted(value: Any) -> bool:
    mark = mark_of(value)
    return mark is not None and f"{mark.kind}/{mark.name}" in EXPECTED
