"""Regularizers: penalties, noise in the layers, changed gradients, an early end."""

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

Strength = Annotated[float, Log(1e-6, 1e-1), Ge(0)]


def _weights(params: Tensors) -> list[Tensor]:
    """Matrices and kernels: biases and the scales of normalizations are left out."""
    return [p for p in params.values() if p.ndim > 1]


class Penalty(Regularizer):
    """strength · sum of a function over all weights."""

    def __init__(self, strength: float, function: Any) -> None:
        self.strength, self.function = strength, function

    def penalty(self, params: Tensors) -> Tensor:
        """A scalar; zero for a model without weights."""
        return self.strength * sum((self.function(p).sum() for p in _weights(params)), torch.zeros(()))


@harness.regularizer(reference="Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 1996")
def l1(*, strength: Strength = 1e-4) -> Regularizer:
    """Penalty on the absolute values of the weights (not of biases).

    L ← L + strength · Σ |w|. By its subgradient, weights come near zero and rarely to it.
    """
    return Penalty(strength, torch.abs)


@harness.regularizer(reference="Hoerl, Kennard, Ridge regression, Technometrics 1970")
def l2(*, strength: Strength = 1e-4) -> Regularizer:
    """Penalty on the squares of the weights (not of biases).

    L ← L + strength · Σ w² / 2, which adds strength · w to the gradient.
    """
    return Penalty(strength, lambda p: p.square() / 2)


class Dropout(Regularizer):
    """nn.Dropout at the end of each hidden block; whole channels of images."""

    def __init__(self, p: float) -> None:
        self.p = p

    def layer(self, features: int, ndim: int) -> nn.Module:
        """Drops units of vectors and channels of images."""
        return {0: nn.Dropout, 1: nn.Dropout1d, 2: nn.Dropout2d, 3: nn.Dropout3d}[ndim](self.p)


@harness.regularizer(reference="Srivastava et al., Dropout, JMLR 2014")
def dropout(
    *, p: Annotated[float, Uniform(0.05, 0.7), Interval(ge=0, lt=1), "share of units dropped"] = 0.5
) -> Regularizer:
    """Zeroes units at random in training, in each hidden block, and scales the others.

    h ← h · m / (1 - p), m ~ Bernoulli(1 - p); whole channels at once where the block has space.
    """
    return Dropout(p)


class GaussianNoise(nn.Module):
    """x + std · ε in training, x in evaluation."""

    std: Tensor

    def __init__(self, std: float) -> None:
        super().__init__()
        # a buffer, so that each member of a stack has its own; not saved, since it is a setting and no state
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: any shape."""
        return x + self.std.to(x.dtype) * torch.randn_like(x) if self.training else x


class ActivationNoise(Regularizer):
    """GaussianNoise at the end of each hidden block."""

    def __init__(self, std: float) -> None:
        self.std = std

    def layer(self, features: int, ndim: int) -> nn.Module:
        """The same for vectors and for images: every element has noise of its own."""
        return GaussianNoise(self.std)


@harness.regularizer(
    reference="Poole, Sohl-Dickstein, Ganguli, Analyzing noise in autoencoders and deep networks, 2014, arXiv:1406.1831"
)
def activation_noise(
    *, std: Annotated[float, Log(1e-3, 1.0), Ge(0), "standard deviation of the noise"] = 0.1
) -> Regularizer:
    """Adds Gaussian noise to the output of each hidden block, in training.

    h ← h + std · ε, ε ~ N(0, 1) for each element of h, after normalization and activation.
    """
    return ActivationNoise(std)


class LabelSmoothing(Regularizer):
    """Mixes the targets with the uniform distribution over the classes."""

    def __init__(self, strength: float, classes: int) -> None:
        self.strength, self.classes = strength, classes

    def target(self, y: Tensor) -> Tensor:
        """Class indices [N], or probabilities [N, C] that an augmentation made, to probabilities [N, C]."""
        return (1 - self.strength) * probabilities(y, self.classes) + self.strength / self.classes


@harness.regularizer(reference="Szegedy et al., Rethinking the Inception architecture, CVPR 2016, arXiv:1512.00567, 7")
def label_smoothing(
    classes: int | None,
    *,
    strength: Annotated[float, Uniform(0.0, 0.3), Interval(ge=0, le=1), "share of the uniform distribution"] = 0.1,
) -> Regularizer:
    """Takes a share of each training target from its class and spreads it evenly over all classes.

    q_c ← (1 - strength) · q_c + strength / C, for class indices [N] as for probabilities [N, C] of C classes.
    What is evaluated keeps its own targets. Raises HarnessError for targets that are no classes.
    """
    if classes is None:
        raise HarnessError("regularizer label_smoothing wants class targets")
    return LabelSmoothing(strength, classes)


class GradientClipping(Regularizer):
    """Limits the norm, or each value, of the gradients."""

    def __init__(self, limit: float, by: str) -> None:
        self.limit, self.by = limit, by

    def gradient(self, grads: Tensors, params: Tensors, noise: Any) -> Tensors:
        """The gradients, scaled together (norm) or clamped (value)."""
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
    *, limit: Annotated[float, Log(0.01, 100), Gt(0)] = 1.0, by: Literal["norm", "value"] = "norm"
) -> Regularizer:
    """Limits the gradient of each step.

    g ← g · min(1, limit / ‖g‖) with the norm over all parameters, or g ← clamp(g, -limit, limit) by value.
    """
    return GradientClipping(limit, by)


class GradientNoise(Regularizer):
    """Gaussian noise on the gradients, less of it at every step."""

    def __init__(self, eta: float, gamma: float) -> None:
        self.eta, self.gamma = eta, gamma

    def gradient(self, grads: Tensors, params: Tensors, noise: Any) -> Tensors:
        """Each element of each gradient has noise of its own."""
        std = torch.as_tensor(self.eta).sqrt() * torch.as_tensor(self.gamma * -0.5 * math.log1p(noise.step)).exp()
        return {name: g + std.to(g) * noise.normal(g.shape, g.dtype) for name, g in grads.items()}


@harness.regularizer(reference="Neelakantan et al., Adding gradient noise improves learning, 2015, arXiv:1511.06807")
def gradient_noise(
    *,
    eta: Annotated[float, Log(1e-4, 1.0), Ge(0), "variance of the noise at the first step"] = 0.01,
    gamma: Annotated[float, Uniform(0.0, 1.0), Ge(0), "how fast it falls"] = 0.55,
) -> Regularizer:
    """Adds Gaussian noise to the gradient, whose variance falls over the steps.

    g ← g + σ_t ε, ε ~ N(0, 1), σ_t² = eta / (1 + t)^gamma at step t = 0, 1, ...
    """
    return GradientNoise(eta, gamma)


class EarlyStopping(Regularizer):
    """Stops when the watched metric has not improved for `patience` epochs."""

    def __init__(self, patience: int, watch: str, min_delta: float, keep: Literal["last", "best"]) -> None:
        self.patience, self.watch, self.min_delta, self.keep = patience, watch, min_delta, keep

    def should_stop(self, history: list[dict[str, float]]) -> bool:
        """After an epoch; raises HarnessError if the metric is not measured."""
        rows = [row for row in history if any(name.startswith("val/") for name in row)]
        best, age, sign = -math.inf, 0, 1 if self.higher_is_better else -1
        for row in rows:
            if self.watch not in row:
                raise HarnessError(f"early_stopping watches {self.watch!r}.{suggest(self.watch, row)}")
            value = sign * row[self.watch]
            if value > best + self.min_delta:
                best, age = value, 0
            else:
                age += 1
        return age >= self.patience


@harness.regularizer(reference="Prechelt, Early stopping - but when?, 1998")
def early_stopping(
    *,
    patience: Annotated[int, Integers(1, 50), Ge(1), "epochs without improvement before the end"] = 5,
    watch: Annotated[str, "the metric that must improve, in its own direction"] = "val/loss",
    min_delta: Annotated[float, Ge(0), "what counts as an improvement"] = 0.0,
    keep: Annotated[Literal["last", "best"], "the weights that the run ends with"] = "best",
) -> Regularizer:
    """Ends the run when validation no longer improves.

    Stops after the epoch at which `watch` has not been better than its best by more than min_delta for `patience`
    epochs in a row.
    """
    return EarlyStopping(patience, watch, min_delta, keep)
