"""Diagnostics of what layers make of the probe samples: how many directions it has, how far it has drifted, how it is
distributed; and what the model's predictions are worth."""

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


def spread(outputs: Tensor) -> Tensor:
    """The effective rank of a matrix: the exponential of the entropy of its singular values' shares."""
    a = outputs.double()
    # float64: the square roots of float32's rounding would be counted as directions
    gram = a @ a.mT if a.shape[0] < a.shape[1] else a.mT @ a
    sigma = eigenvalues(gram).clamp_min(0).sqrt()
    share = sigma / sigma.sum().clamp_min(1e-300)
    return torch.special.entr(share).sum().exp()


def _effective_rank(layers: Layers) -> dict[str, Tensor]:
    return {
        name: spread(layer.output.flatten(1))
        for name, layer in layers.items()
        if layer.role == "activation" and layer.output.ndim > 1
    }


@harness.diagnostic(reference="Roy, Vetterli, The effective rank: a measure of effective dimensionality, EUSIPCO 2007")
def effective_rank(*, every: Every = 0) -> Diagnostic:
    """In how many directions each activation's outputs lie: 1 where those of all samples are alike.

    exp(-Σ p_i ln p_i), p_i = σ_i / Σ σ, σ the singular values of the matrix [samples, units]; at most the smaller of
    the two.
    """
    return Diagnostic(_effective_rank, every)


def _drift(layers: Layers, start_layers: Named) -> dict[str, Tensor]:
    found = {}
    for name, layer in layers.items():
        if layer.role == "activation" and name in start_layers:
            now, first = layer.output.flatten(1), start_layers[name].flatten(1)
            (mean, deviation), (mean_0, deviation_0) = ((t.mean(0), t.std(0, correction=0)) for t in (now, first))
            moved = (mean - mean_0).square() + (deviation - deviation_0).square()
            found[name] = (moved.mean() / deviation_0.square().mean().clamp_min(1e-30)).sqrt()
    return found


@harness.diagnostic(
    reference="of internal covariate shift: Ioffe, Szegedy, Batch normalization, ICML 2015, arXiv:1502.03167"
)
def drift(*, every: Every = 0) -> Diagnostic:
    """How far the distribution of what each activation hands on has moved since the start, in its deviations of then.

    sqrt(mean_u [(μ_u - μ⁰_u)² + (σ_u - σ⁰_u)²] / mean_u (σ⁰_u)²), over units u: the 2-Wasserstein distance of Gaussians
    with the mean μ and the deviation σ over the probe samples from those with the initial weights, μ⁰ and σ⁰.
    """
    return Diagnostic(_drift, every)


def counted(values: Tensor, bins: int) -> Histogram:
    """How many of some values, of those that are finite, lie in each of `bins` equal steps from least to largest."""
    flat = values.flatten()
    kept = flat.isfinite()
    low, high = torch.where(kept, flat, torch.inf).amin(), torch.where(kept, flat, -torch.inf).amax()
    width = (high - low).clamp_min(1e-30)
    at = ((flat - low) / width * bins).nan_to_num(0.0, 0.0, 0.0).clamp(0, bins - 1).long()
    counts = torch.zeros(bins, dtype=flat.dtype, device=flat.device).scatter_add(0, at, kept.to(flat.dtype))
    return Histogram(counts, low + width * torch.linspace(0, 1, bins + 1, dtype=flat.dtype, device=flat.device))


def _histograms(params: Named, grads: Named, layers: Layers, *, bins: int) -> dict[str, Histogram]:
    found = {f"weights/{name}": t for name, t in matrices(params).items()}
    found |= {f"gradients/{name}": t for name, t in matrices(grads).items()}
    found |= {f"activations/{name}": layer.output for name, layer in layers.items() if layer.role == "activation"}
    return {tag: counted(t, bins) for tag, t in found.items()}


@harness.diagnostic
def histograms(
    *, every: Every = 0, bins: Annotated[int, Integers(10, 100), Ge(2), "from the least to the largest value"] = 30
) -> Diagnostic:
    """Histograms of each layer's weights and of their gradients, and of what each activation makes."""
    return Diagnostic(functools.partial(_histograms, bins=bins), every)


def calibration_error(logits: Tensor, classes: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """The expected calibration error, and by how much confidence lies above accuracy, of logits [N, C]."""
    best = logits.double().softmax(-1).max(-1)
    right = (best.indices == classes).double()
    at = ((best.values * bins).ceil() - 1).clamp(0, bins - 1)
    inside = (at[:, None] == torch.arange(bins, device=at.device)).double()
    gaps = (best.values - right) @ inside
    return gaps.abs().sum() / len(logits), gaps.sum() / len(logits)


def _calibration(prediction: Any, target: Any, *, bins: int) -> dict[str, Tensor]:
    both = isinstance(prediction, Tensor) and isinstance(target, Tensor)
    if not both or prediction.ndim != 2 or target.ndim != 1 or target.is_floating_point():
        return {}
    error, over = calibration_error(prediction, target, bins)
    return {"error": error, "overconfidence": over}


@harness.diagnostic(reference="Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599")
def calibration(
    *, every: Every = 0, bins: Annotated[int, Integers(5, 30), Ge(1), "of the confidence, from 0 to 1"] = 10
) -> Diagnostic:
    """Whether a classifier is right as often as it says: of validation samples; nothing for other tasks.

    `error` = Σ_b n_b / N |accuracy_b - confidence_b| over bins of the greatest probability; `overconfidence` is the
    mean confidence less the accuracy.
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
    """By how much the loss of the same samples is higher in evaluation mode than in training mode.

    Below 0 under dropout and other noise; above it where batch normalization's running statistics are not those of its
    batches.
    """
    return Diagnostic(_mode_gap, every)
