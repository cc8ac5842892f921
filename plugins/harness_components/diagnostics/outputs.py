"""Diagnostics of layer outputs and predictions: rank, drift, histograms and calibration on the probe samples."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge
from torch import Tensor

import harness
from harness import Diagnostic, Every, Histogram, Layer
from harness.space import Integers
from harness_components.diagnostics.curvature import eigenvalues
from harness_components.diagnostics.steps import matrices

Named = Mapping[str, Tensor]
Layers = Mapping[str, Layer]


def rank_of(outputs: Tensor) -> Tensor:
    """Return the effective rank of a matrix: the exponential of the entropy of its normalized singular values."""
    a = outputs.double()
    # float64: in float32 the square roots of rounding errors would count as directions
    gram = a @ a.mT if a.shape[0] < a.shape[1] else a.mT @ a
    sigma = eigenvalues(gram).clamp_min(0).sqrt()
    share = sigma / sigma.sum().clamp_min(1e-300)
    return torch.special.entr(share).sum().exp()


def _effective_rank(layers: Layers) -> dict[str, Tensor]:
    return {
        name: rank_of(layer.output.flatten(1))
        for name, layer in layers.items()
        if layer.role == "activation" and layer.output.ndim > 1
    }


@harness.diagnostic(reference="Roy, Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007")
def effective_rank(*, every: Every = 0) -> Diagnostic:
    """Effective rank of each activation's outputs: the number of directions in which they vary.

    With σ the singular values of the matrix [samples, units]:

        exp(-Σ p_i ln p_i),  p_i = σ_i / Σ σ

    1 if the outputs of all samples are proportional; at most the smaller dimension.
    """
    return Diagnostic(_effective_rank, every)


def _drift(layers: Layers, start_layers: Named) -> dict[str, Tensor]:
    distances = {}
    for name, layer in layers.items():
        if layer.role == "activation" and name in start_layers:
            now, first = layer.output.flatten(1), start_layers[name].flatten(1)
            (mean, deviation), (mean_0, deviation_0) = ((t.mean(0), t.std(0, correction=0)) for t in (now, first))
            moved = (mean - mean_0).square() + (deviation - deviation_0).square()
            distances[name] = (moved.mean() / deviation_0.square().mean().clamp_min(1e-30)).sqrt()
    return distances


@harness.diagnostic(
    reference="of internal covariate shift: Ioffe, Szegedy, Batch normalization, ICML 2015, arXiv:1502.03167"
)
def drift(*, every: Every = 0) -> Diagnostic:
    """Drift of the distribution of each activation's outputs since the start, in initial standard deviations.

    With mean μ and standard deviation σ over the probe samples, μ⁰ and σ⁰ those of the initial weights, over units u:

        sqrt(mean_u [(μ_u - μ⁰_u)² + (σ_u - σ⁰_u)²] / mean_u (σ⁰_u)²)

    The numerator is the 2-Wasserstein distance of Gaussians.
    """
    return Diagnostic(_drift, every)


def histogram(values: Tensor, bins: int) -> Histogram:
    """Count the finite values in each of `bins` equal intervals from the smallest to the largest."""
    flat = values.flatten()
    finite = flat.isfinite()
    low, high = torch.where(finite, flat, torch.inf).amin(), torch.where(finite, flat, -torch.inf).amax()
    width = (high - low).clamp_min(1e-30)
    at = ((flat - low) / width * bins).nan_to_num(0.0, 0.0, 0.0).clamp(0, bins - 1).long()
    counts = torch.zeros(bins, dtype=flat.dtype, device=flat.device).scatter_add(0, at, finite.to(flat.dtype))
    return Histogram(counts, low + width * torch.linspace(0, 1, bins + 1, dtype=flat.dtype, device=flat.device))


def _histograms(params: Named, grads: Named, layers: Layers, *, bins: int) -> dict[str, Histogram]:
    tensors = {f"weights/{name}": t for name, t in matrices(params).items()}
    tensors |= {f"gradients/{name}": t for name, t in matrices(grads).items()}
    tensors |= {f"activations/{name}": layer.output for name, layer in layers.items() if layer.role == "activation"}
    return {tag: histogram(t, bins) for tag, t in tensors.items()}


@harness.diagnostic
def histograms(
    *, every: Every = 0, bins: Annotated[int, Integers(10, 100), Ge(2), "number of bins"] = 30
) -> Diagnostic:
    """Histograms of each layer's weights, their gradients, and the outputs of each activation."""
    return Diagnostic(functools.partial(_histograms, bins=bins), every)


def calibration_error(logits: Tensor, classes: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Return the expected calibration error of logits [N, C], and the mean confidence minus the accuracy."""
    best = logits.double().softmax(-1).max(-1)
    right = (best.indices == classes).double()
    at = ((best.values * bins).ceil() - 1).clamp(0, bins - 1)
    inside = (at[:, None] == torch.arange(bins, device=at.device)).double()
    gaps = (best.values - right) @ inside
    return gaps.abs().sum() / len(logits), gaps.sum() / len(logits)


def _calibration(prediction: Any, target: Any, *, bins: int) -> dict[str, Tensor]:
    tensors = isinstance(prediction, Tensor) and isinstance(target, Tensor)
    if not tensors or prediction.ndim != 2 or target.ndim != 1 or target.is_floating_point():
        return {}
    error, over = calibration_error(prediction, target, bins)
    return {"error": error, "overconfidence": over}


@harness.diagnostic(reference="Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599")
def calibration(
    *, every: Every = 0, bins: Annotated[int, Integers(5, 30), Ge(1), "number of bins of the confidence in [0, 1]"] = 10
) -> Diagnostic:
    """Calibration of a classifier on validation samples; measures nothing in other tasks.

    Over bins of the largest probability:

        error = Σ_b n_b / N |accuracy_b - confidence_b|
        overconfidence = mean confidence - accuracy
    """
    return Diagnostic(functools.partial(_calibration, bins=bins), every)


def _mode_gap(params: Named, loss: Callable[..., Tensor]) -> dict[str, Tensor]:
    train, evaluated = loss(dict(params)), loss(dict(params), train=False)
    return {"": evaluated - train, "train": train, "eval": evaluated}


@harness.diagnostic(
    reference="Ioffe, Batch renormalization: towards reducing minibatch dependence in batch-normalized models, "
    "NeurIPS 2017, arXiv:1702.03275"
)
def mode_gap(*, every: Every = 0) -> Diagnostic:
    """Loss in evaluation mode minus loss in training mode, on the same samples.

    Below 0 with dropout and other noise; above it where the running statistics of batch normalization differ from those
    of the batches.
    """
    return Diagnostic(_mode_gap, every)
