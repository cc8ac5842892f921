"""Regularizers of the loss, the layers, the targets, the gradients and the length of training."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn

import harness
from harness import HarnessError, Regularizer, Tensors, suggest
from harness.space import Integers, Log, Uniform
from harness_components.losses.probability import probabilities

Strength = Annotated[float, Log(1e-6, 1e-1), Ge(0), "factor of the penalty"]


def _weights(params: Tensors) -> list[Tensor]:
    """Return the matrices and kernels: no biases, no scales of normalizations."""
    return [p for p in params.values() if p.ndim > 1]


class Penalty(Regularizer):
    """Penalty strength · Σ f(w) over all weights."""

    def __init__(self, strength: float, function: Any) -> None:
        self.strength, self.function = strength, function

    def penalty(self, params: Tensors) -> Tensor:
        """Return the penalty, a scalar; zero for a model without weights."""
        return self.strength * sum((self.function(p).sum() for p in _weights(params)), torch.zeros(()))


@harness.regularizer(reference="Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 1996")
def l1(*, strength: Strength = 1e-4) -> Regularizer:
    """L1 penalty on the weights, not on biases.

        L ← L + strength · Σ |w|

    Trained by its subgradient, weights come close to zero and rarely reach it: see `l1_proximal` for sparse weights.

    >>> l1(strength=0.1).penalty({"weight": torch.tensor([[1.0, -2.0]]), "bias": torch.tensor([5.0])})
    tensor(0.3000)
    """
    return Penalty(strength, torch.abs)


@harness.regularizer(reference="Hoerl, Kennard, Ridge regression, Technometrics 1970")
def l2(*, strength: Strength = 1e-4) -> Regularizer:
    """L2 penalty on the weights, not on biases.

        L ← L + strength · Σ w² / 2

    Adds strength · w to the gradient. With adaptive optimizers such as adam prefer `weight_decay`.

    >>> l2(strength=0.1).penalty({"weight": torch.tensor([[1.0, -2.0]]), "bias": torch.tensor([5.0])})
    tensor(0.2500)
    """
    return Penalty(strength, lambda p: p.square() / 2)


class Dropout(Regularizer):
    """Dropout at the end of each hidden block."""

    def __init__(self, p: float) -> None:
        self.p = p

    def layer(self, features: int, ndim: int) -> nn.Module:
        """Return a layer that drops units of vectors, and whole channels of images."""
        return {0: nn.Dropout, 1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}[ndim](self.p)


@harness.regularizer(reference="Srivastava et al., Dropout, JMLR 2014")
def dropout(
    *, p: Annotated[float, Uniform(0.05, 0.7), Interval(ge=0, lt=1), "probability that a unit is dropped"] = 0.5
) -> Regularizer:
    """Dropout: zero units at random in training, at the end of each hidden block.

        h ← h · m / (1 - p),  m ~ Bernoulli(1 - p)

    In evaluation h is unchanged. Blocks with spatial dimensions drop whole channels.

    >>> dropout(p=0.3).layer(features=16, ndim=0), dropout(p=0.3).layer(features=16, ndim=2)
    (Dropout(p=0.3, inplace=False), Dropout2d(p=0.3, inplace=False))
    """
    return Dropout(p)


class GaussianNoise(nn.Module):
    """Add std · ε in training; the identity in evaluation."""

    std: Tensor

    def __init__(self, std: float) -> None:
        super().__init__()
        # a buffer, so that each run of a stack has its own; not saved, because it is a setting
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to the same shape."""
        return x + self.std.to(x.dtype) * torch.randn_like(x) if self.training else x


class ActivationNoise(Regularizer):
    """GaussianNoise at the end of each hidden block."""

    def __init__(self, std: float) -> None:
        self.std = std

    def layer(self, features: int, ndim: int) -> nn.Module:
        """Return a layer that adds noise of its own to each element, of vectors and of images alike."""
        return GaussianNoise(self.std)


@harness.regularizer(
    reference="Poole, Sohl-Dickstein, Ganguli, Analyzing noise in autoencoders and deep networks, 2014, arXiv:1406.1831"
)
def activation_noise(
    *, std: Annotated[float, Log(1e-3, 1.0), Ge(0), "standard deviation of the noise"] = 0.1
) -> Regularizer:
    """Gaussian noise on the output of each hidden block, in training.

        h ← h + std · ε,  ε ~ N(0, 1) for each element of h

    The noise is added after normalization and activation.

    >>> layer = activation_noise(std=0.1).layer(features=2, ndim=0)
    >>> layer.eval()(torch.ones(1, 2))
    tensor([[1., 1.]])
    """
    return ActivationNoise(std)


class LabelSmoothing(Regularizer):
    """Mix the targets with the uniform distribution over the classes."""

    def __init__(self, strength: float, classes: int) -> None:
        self.strength, self.classes = strength, classes

    def target(self, y: Tensor) -> Tensor:
        """Return probabilities [N, C] for class indices [N], or for probabilities [N, C] that an augmentation made."""
        return (1 - self.strength) * probabilities(y, self.classes) + self.strength / self.classes


@harness.regularizer(reference="Szegedy et al., Rethinking the Inception architecture, CVPR 2016, arXiv:1512.00567, 7")
def label_smoothing(
    classes: int | None,
    *,
    strength: Annotated[float, Uniform(0.0, 0.3), Interval(ge=0, le=1), "share of the uniform distribution"] = 0.1,
) -> Regularizer:
    """Label smoothing: spread a share of each training target evenly over all classes.

    For C classes:

        q_c ← (1 - strength) · q_c + strength / C

    Evaluation uses the original targets. Requires class targets. `cross_entropy` has the same as a setting.

    >>> label_smoothing(4, strength=0.2).target(torch.tensor([1]))
    tensor([[0.0500, 0.8500, 0.0500, 0.0500]])
    """
    if classes is None:
        raise HarnessError(
            "regularizer label_smoothing requires class targets: choose data of classes, or leave it out"
        )
    return LabelSmoothing(strength, classes)


class GradientClipping(Regularizer):
    """Limit the norm, or each element, of the gradients."""

    def __init__(self, limit: float, by: str) -> None:
        self.limit, self.by = limit, by

    def gradient(self, grads: Tensors, params: Tensors, noise: Any) -> Tensors:
        """Return the gradients scaled together (norm) or clamped (value)."""
        if not grads:
            return grads
        if self.by == "value":
            return {name: g.clamp(-self.limit, self.limit) for name, g in grads.items()}
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads.values()]))
        scale = (self.limit / (norm + 1e-6)).clamp(max=1.0)
        return {name: g * scale for name, g in grads.items()}


@harness.regularizer(
    reference="Pascanu, Mikolov, Bengio, On the difficulty of training recurrent neural networks, 2013"
)
def gradient_clipping(
    *,
    limit: Annotated[float, Log(0.01, 100), Gt(0), "largest norm, or absolute value"] = 1.0,
    by: Annotated[Literal["norm", "value"], "scale all gradients together, or clamp each element"] = "norm",
) -> Regularizer:
    """Gradient clipping by norm or by value.

        by=norm:  g ← g · min(1, limit / ‖g‖), with the norm over all parameters
        by=value: g ← clamp(g, -limit, limit)

    >>> clip = gradient_clipping(limit=1.0)
    >>> clip.gradient({"w": torch.tensor([3.0, 4.0])}, {}, noise=None)
    {'w': tensor([0.6000, 0.8000])}
    """
    return GradientClipping(limit, by)


class GradientNoise(Regularizer):
    """Gaussian noise on the gradients, with a variance that falls over the steps."""

    def __init__(self, eta: float, gamma: float) -> None:
        self.eta, self.gamma = eta, gamma

    def gradient(self, grads: Tensors, params: Tensors, noise: Any) -> Tensors:
        """Return the gradients plus noise, drawn for each element."""
        std = torch.as_tensor(self.eta).sqrt() * torch.as_tensor(self.gamma * -0.5 * math.log1p(noise.step)).exp()
        return {name: g + std.to(g) * noise.normal(g.shape, g.dtype) for name, g in grads.items()}


@harness.regularizer(reference="Neelakantan et al., Adding gradient noise improves learning, 2015, arXiv:1511.06807")
def gradient_noise(
    *,
    eta: Annotated[float, Log(1e-4, 1.0), Ge(0), "variance of the noise at the first step"] = 0.01,
    gamma: Annotated[float, Uniform(0.0, 1.0), Ge(0), "decay exponent γ of the variance"] = 0.55,
) -> Regularizer:
    """Gaussian noise on the gradient, with a variance that falls over the steps.

    At step t = 0, 1, ...:

        g ← g + σ_t ε,  ε ~ N(0, 1),  σ_t² = eta / (1 + t)^gamma
    """
    return GradientNoise(eta, gamma)


class EarlyStopping(Regularizer):
    """Stop when the watched metric has not improved for `patience` epochs."""

    def __init__(self, patience: int, watch: str, min_delta: float, keep: Literal["last", "best"]) -> None:
        self.patience, self.watch, self.min_delta, self.keep = patience, watch, min_delta, keep

    def should_stop(self, history: list[dict[str, float]]) -> bool:
        """Return True if `patience` epochs have passed since the best value.

        Raises:
            HarnessError: If the metric is not measured.
        """
        rows = [row for row in history if any(name.startswith("val/") for name in row)]
        best, epochs_since_best, sign = -math.inf, 0, 1 if self.higher_is_better else -1
        for row in rows:
            if self.watch not in row:
                raise HarnessError(f"early_stopping watches {self.watch!r}.{suggest(self.watch, row)}")
            value = sign * row[self.watch]
            if value > best + self.min_delta:
                best, epochs_since_best = value, 0
            else:
                epochs_since_best += 1
        return epochs_since_best >= self.patience


class StopAt(Regularizer):
    """Stop when the watched metric has reached a value."""

    def __init__(self, value: float, watch: str) -> None:
        self.value, self.watch = value, watch

    def should_stop(self, history: list[dict[str, float]]) -> bool:
        """Return True if the last epoch reached the value."""
        reached = history[-1].get(self.watch, math.nan)  # not every epoch is evaluated
        return reached >= self.value if self.higher_is_better else reached <= self.value


@harness.regularizer
def stop_at(
    *,
    value: Annotated[float, "value at which the run ends"] = 0.95,
    watch: Annotated[str, "metric, better up or down as it declares"] = "train/accuracy",
) -> Regularizer:
    """Stop at a value of a metric: end the run after the first epoch that reaches it.

    Runs that are compared after they have fitted their training samples equally well differ in what they generalize.
    A metric of the training split, such as `train/accuracy` or `train/eval_loss`, is evaluated after each epoch with
    the weights of that moment, in evaluation mode.

    >>> stopping = stop_at(value=0.5, watch="val/loss")
    >>> [stopping.should_stop([{"val/loss": loss}]) for loss in (0.7, 0.5)]
    [False, True]
    """
    return StopAt(value, watch)


@harness.regularizer(reference="Prechelt, Early stopping - but when?, 1998")
def early_stopping(
    *,
    patience: Annotated[int, Integers(1, 50), Ge(1), "epochs without improvement before the end"] = 5,
    watch: Annotated[str, "metric that must improve, up or down as it declares"] = "val/loss",
    min_delta: Annotated[float, Ge(0), "smallest change that counts as an improvement, in the metric's units"] = 0.0,
    keep: Annotated[Literal["last", "best"], "weights that the run ends with"] = "best",
) -> Regularizer:
    """Early stopping: end the run when a validation metric no longer improves.

    Stops after epoch e once no value in the last `patience` epochs is better than the best before by more than
    `min_delta`. With keep=best the run ends with the weights of the best epoch.

    >>> stopping = early_stopping(patience=2)
    >>> losses = [0.9, 0.5, 0.6, 0.6]
    >>> [stopping.should_stop([{"val/loss": loss} for loss in losses[:epoch]]) for epoch in range(1, 5)]
    [False, False, False, True]
    """
    return EarlyStopping(patience, watch, min_delta, keep)
