"""Diagnostics of what the layers make of some samples, and of the gradients that come back to them."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

import harness
from harness import Diagnostic, Every, Layer, quantities

Layers = Mapping[str, Layer]


def _rms(t: Tensor) -> Tensor:
    return torch.linalg.vector_norm(t) / math.sqrt(t.numel())


def _largest(tensors: Iterable[Tensor]) -> Tensor:
    """The largest magnitude in each; not finite where one of its numbers is not."""
    return torch.stack([torch.maximum(t.amax(), -t.amin()) for t in tensors])


def _activation_gradient(layers: Layers) -> dict[str, Tensor]:
    found = {name: _rms(layer.gradient) for name, layer in layers.items() if layer.role in ("weights", "activation")}
    profile = list(found.values())
    if len(profile) > 1:
        # of the first to the last layer of weights: the gradient is said to vanish where this is near zero
        found["first_to_last"] = profile[0] / profile[-1].clamp_min(1e-30)
    return found


@harness.diagnostic(
    reference="Glorot, Bengio, Understanding the difficulty of training deep networks, AISTATS 2010",
    tells={"first_to_last": quantities.PROFILE, "{layer}": quantities.GRADIENT},
)
def activation_gradient(*, every: Every = 0) -> Diagnostic:
    """The gradient of each sample's loss by what a layer made of it, root mean square over samples and units.

    Its profile over depth shows vanishing and exploding. The weights' gradients may hide these: a weight's gradient is
    a product of what comes forward and of what comes back, and in ReLU nets one may grow as the other shrinks.
    """
    return Diagnostic(_activation_gradient, every)


def _activations(layers: Layers) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.role == "activation":
            found[f"{name}/mean"] = mean = layer.output.mean()
            found[f"{name}/std"] = _rms(layer.output - mean)  # a tenth of the time of torch's own std
    return found


@harness.diagnostic
def activations(*, every: Every = 0) -> Diagnostic:
    """Mean and standard deviation of each activation's output, over samples and units."""
    return Diagnostic(_activations, every)


def _dead(layers: Layers) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.role == "activation":
            zero = (layer.output == 0).to(layer.output.dtype)
            share = zero.movedim(1, -1).flatten(0, -2).mean(0) if zero.ndim > 1 else zero.mean(0, keepdim=True)
            found[f"{name}/dead"] = (share == 1).to(zero.dtype).mean()
            found[f"{name}/zeros"] = share.mean()
    return found


@harness.diagnostic(
    reference="Lu et al., Dying ReLU and Initialization, 2020, arXiv:1903.06733",
    tells={"{layer}/dead": quantities.DEAD, "{layer}/zeros": quantities.ZEROS},
)
def dead_units(*, every: Every = 0) -> Diagnostic:
    """The share of each activation's units that are zero on every sample looked at, and the share of exact zeros.

    Units stand on the axis behind the samples'.
    """
    return Diagnostic(_dead, every)


def _saturated(slopes: Mapping[str, Tensor], *, below: float) -> dict[str, Tensor]:
    found = {}
    for name, slope in slopes.items():
        steep = slope.abs()
        found[name] = (steep < below * steep.amax().clamp_min(1e-30)).to(slope.dtype).mean()
    return found


@harness.diagnostic(reference="Glorot, Bengio, Understanding the difficulty of training deep networks, AISTATS 2010")
def saturation(
    *,
    every: Every = 0,
    below: Annotated[float, Interval(gt=0, lt=1), "of the steepest slope: a flatter one is saturated"] = 0.05,
) -> Diagnostic:
    """The share of an element-wise activation's outputs where its slope |f'(x)| is below a share of the steepest.

    For ReLU it is the share of zeros; for sigmoid and tanh of those near their ends.
    """
    return Diagnostic(functools.partial(_saturated, below=below), every)


def _numerics(params: Mapping[str, Tensor], grads: Mapping[str, Tensor], layers: Layers) -> dict[str, Tensor]:
    outputs = _largest(layer.output for layer in layers.values())
    finite = outputs.isfinite().to(torch.int64)
    place = torch.where(finite.amin() == 1, -1, finite.cumprod(0).sum())  # as many as are finite come before it
    found = {"weight": _largest(params.values()).amax(), "activation": outputs.amax(), "first_not_finite": place}
    return found | ({"gradient": _largest(grads.values()).amax()} if grads else {})


@harness.diagnostic(tells={"activation": quantities.LARGEST_ACTIVATION})
def numerics(*, every: Every = 0) -> Diagnostic:
    """The largest magnitudes among weights, gradients and activations, and which layer is the first not to be finite.

    `first_not_finite` counts the layers from 0, in the order in which they act; -1 where all are finite.
    """
    return Diagnostic(_numerics, every)


def _inputs(x: Tensor) -> dict[str, Tensor]:
    if not x.is_floating_point():
        return {}
    flat = x.flatten(1)
    means, mean = flat.mean(0), flat.mean()
    variances = (flat - means).square().mean(0)
    return {
        "mean": mean,
        "std": (variances.mean() + (means - mean).square().mean()).sqrt(),
        "largest": _largest([flat]).amax(),
        "widest": variances.amax().sqrt(),
    }


@harness.diagnostic(
    reference="LeCun et al., Efficient BackProp, 1998",
    tells={"largest": quantities.INPUT_LARGEST, "widest": quantities.INPUT_WIDEST},
)
def inputs(*, every: Every = 0) -> Diagnostic:
    """What the model is given: mean, standard deviation, largest magnitude, and the largest deviation of a feature."""
    return Diagnostic(_inputs, every)
