"""Diagnostics of layer outputs on the probe samples, and of the gradients with respect to them."""

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
    """Return the largest magnitude in each tensor; not finite if one of its elements is not."""
    return torch.stack([torch.maximum(t.amax(), -t.amin()) for t in tensors])


def _activation_gradient(layers: Layers) -> dict[str, Tensor]:
    sizes = {name: _rms(layer.gradient) for name, layer in layers.items() if layer.role in ("weights", "activation")}
    profile = list(sizes.values())
    if len(profile) > 1:
        # first over last layer: near zero where gradients vanish
        sizes["first_to_last"] = profile[0] / profile[-1].clamp_min(1e-30)
    return sizes


@harness.diagnostic(
    reference="Glorot, Bengio, Understanding the difficulty of training deep networks, AISTATS 2010",
    tells={"first_to_last": quantities.PROFILE, "{layer}": quantities.GRADIENT},
)
def activation_gradient(*, every: Every = 0) -> Diagnostic:
    """Gradient of the loss with respect to each layer's outputs, root mean square over samples and units.

    Its profile over depth shows vanishing and exploding gradients. Weight gradients may hide them: they are products of
    the forward and the backward signal, and in ReLU networks one can grow as the other shrinks.
    """
    return Diagnostic(_activation_gradient, every)


def _activations(layers: Layers) -> dict[str, Tensor]:
    scalars: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.role == "activation":
            scalars[f"{name}/mean"] = mean = layer.output.mean()
            scalars[f"{name}/std"] = _rms(layer.output - mean)  # takes a tenth of the time of torch.std
    return scalars


@harness.diagnostic
def activations(*, every: Every = 0) -> Diagnostic:
    """Mean and standard deviation of each activation's outputs, over samples and units."""
    return Diagnostic(_activations, every)


def _share_of_samples(true: Tensor, dtype: torch.dtype) -> Tensor:
    """Return for each unit, the second axis, the share of samples and places at which it is True."""
    numbers = true.to(dtype)
    return numbers.movedim(1, -1).flatten(0, -2).mean(0) if numbers.ndim > 1 else numbers.mean(0, keepdim=True)


def _dead(layers: Layers) -> dict[str, Tensor]:
    shares: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.role == "activation":
            share = _share_of_samples(layer.output == 0, layer.output.dtype)
            shares[f"{name}/dead"] = (share == 1).to(share.dtype).mean()
            shares[f"{name}/zeros"] = share.mean()
    return shares


@harness.diagnostic(
    reference="Lu et al., Dying ReLU and Initialization, 2020, arXiv:1903.06733",
    tells={"{layer}/dead": quantities.DEAD, "{layer}/zeros": quantities.ZEROS},
)
def dead_units(*, every: Every = 0) -> Diagnostic:
    """Share of each activation's units that are zero on all probe samples, and share of exact zeros.

    Units are the second axis.
    """
    return Diagnostic(_dead, every)


def _revived(layers: Layers, start_layers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    shares: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.role == "activation" and name in start_layers:
            dtype = layer.output.dtype
            before, now = (_share_of_samples(t == 0, dtype) == 1 for t in (start_layers[name], layer.output))
            shares[f"{name}/revived"] = (before & ~now).to(dtype).mean()
            shares[f"{name}/died"] = (now & ~before).to(dtype).mean()
    return shares


@harness.diagnostic(reference="Lu et al., Dying ReLU and Initialization, 2020, arXiv:1903.06733")
def revived_units(*, every: Every = 0) -> Diagnostic:
    """Share of each activation's units that were dead with the initial weights and are not now, and the opposite.

    A unit is dead if it is zero on all probe samples.

        revived = share of units that are dead at the start and not now
        died = share of units that are dead now and not at the start

    Units are the second axis. A dead unit gets no gradient, and revives only if its inputs change, or by momentum and
    weight decay.
    """
    return Diagnostic(_revived, every)


def _gradient_zeros(layers: Layers) -> dict[str, Tensor]:
    shares: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.role in ("weights", "activation"):
            share = _share_of_samples(layer.gradient == 0, layer.gradient.dtype)
            shares[f"{name}/zeros"] = share.mean()
            shares[f"{name}/units"] = (share == 1).to(share.dtype).mean()
    return shares


@harness.diagnostic(reference="Goodfellow, Warde-Farley, Mirza, Courville, Bengio, Maxout networks, ICML 2013")
def gradient_zeros(*, every: Every = 0) -> Diagnostic:
    """Share of exact zeros in the gradient of the loss with respect to each layer's outputs.

        zeros = share over samples and units
        units = share of units, the second axis, whose gradient is zero for all probe samples

    The weights of such a unit do not learn. Of a linear layer before `relu` these are the units that are negative, of
    one before `maxout` the pieces that are not the largest.
    """
    return Diagnostic(_gradient_zeros, every)


def _activation_slope(slopes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ends = {}
    for name, slope in slopes.items():
        ends[f"{name}/smallest"], ends[f"{name}/largest"] = slope.amin(), slope.amax()
    return ends


@harness.diagnostic(reference="Glorot, Bengio, Understanding the difficulty of training deep networks, AISTATS 2010")
def activation_slope(*, every: Every = 0) -> Diagnostic:
    """Smallest and largest slope f'(x) of each activation on the probe samples.

    For element-wise activations. Back-propagation multiplies gradients by these slopes.
    """
    return Diagnostic(_activation_slope, every)


def _saturated(slopes: Mapping[str, Tensor], *, below: float) -> dict[str, Tensor]:
    shares = {}
    for name, slope in slopes.items():
        steepness = slope.abs()
        shares[name] = (steepness < below * steepness.amax().clamp_min(1e-30)).to(slope.dtype).mean()
    return shares


@harness.diagnostic(reference="Glorot, Bengio, Understanding the difficulty of training deep networks, AISTATS 2010")
def saturation(
    *,
    every: Every = 0,
    below: Annotated[float, Interval(gt=0, lt=1), "saturation threshold, relative to the steepest slope"] = 0.05,
) -> Diagnostic:
    """Share of each activation's outputs where the slope |f'(x)| is below a share of the steepest one.

    For element-wise activations. For ReLU it is the share of zeros, for sigmoid and tanh that of outputs near their
    limits.
    """
    return Diagnostic(functools.partial(_saturated, below=below), every)


def _numerics(params: Mapping[str, Tensor], grads: Mapping[str, Tensor], layers: Layers) -> dict[str, Tensor]:
    outputs = _largest(layer.output for layer in layers.values())
    finite = outputs.isfinite().to(torch.int64)
    place = torch.where(finite.amin() == 1, -1, finite.cumprod(0).sum())  # number of finite layers before it
    scalars = {"weight": _largest(params.values()).amax(), "activation": outputs.amax(), "first_not_finite": place}
    return scalars | ({"gradient": _largest(grads.values()).amax()} if grads else {})


@harness.diagnostic(tells={"activation": quantities.LARGEST_ACTIVATION})
def numerics(*, every: Every = 0) -> Diagnostic:
    """Largest magnitude among weights, gradients and activations, and the first layer with a non-finite output.

    `first_not_finite` is the index of the layer, from 0 in the order of computation; -1 if all are finite.
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
    """Statistics of the model's inputs: mean, standard deviation, largest magnitude, largest deviation of a feature."""
    return Diagnostic(_inputs, every)
