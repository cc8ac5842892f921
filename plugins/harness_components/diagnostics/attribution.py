"""Diagnostics of the inputs that a network relies on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import grad

import harness
from harness import Diagnostic, Every

Named = Mapping[str, Tensor]


def _feature_gradient(params: Named, loss: Callable[..., Tensor], x: Tensor, y: Tensor) -> dict[str, Tensor]:
    if not x.is_floating_point():
        return {}
    slopes = grad(loss, argnums=1)(dict(params), x, y).flatten(1)  # a mean over samples: 1 / N of each one's own
    importance = x.flatten(1).std(0, correction=0) * torch.linalg.vector_norm(slopes, dim=0)
    total = importance.sum().clamp_min(1e-30)
    effective = total.square() / importance.square().sum().clamp_min(1e-30)
    return {
        "effective": effective,
        "evenness": effective / importance.numel(),
        "largest": importance.amax() / total,
    }


@harness.diagnostic(
    reference="Simonyan, Vedaldi, Zisserman, Deep inside convolutional networks: visualising image classification "
    "models and saliency maps, ICLR 2014 workshop, arXiv:1312.6034 (gradients with respect to inputs)"
)
def feature_gradient(*, every: Every = 0) -> Diagnostic:
    """Evenness of the features' importance, from the gradient of the loss with respect to the inputs.

    The importance of feature j of d is the change of the loss for a standard deviation σ_j of it, over the probe
    samples n:

        s_j = σ_j sqrt(Σ_n (∂L/∂x_nj)²)
        effective = (Σ s)² / Σ s², the number of features that matter
        evenness = effective / d, 1 if all features are equally important
        largest = max s / Σ s, the share of the most important feature

    Inputs that are indices of tokens have no gradient: it measures nothing there.
    """
    return Diagnostic(_feature_gradient, every)
