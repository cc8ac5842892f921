"""Targets as probabilities, and the probabilities that a softmax does not give: shared by losses and metrics."""

from __future__ import annotations

import torch
from torch import Tensor


def probabilities(target: Tensor, classes: int, dtype: torch.dtype | None = None) -> Tensor:
    """Targets [N, C] in [0, 1]: one-hot for class indices [N]; what is no index is kept. `dtype` as torch's default.

    >>> probabilities(torch.tensor([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if target.is_floating_point():
        return target if dtype is None else target.to(dtype)
    one_hot = target[..., None] == torch.arange(classes, device=target.device)
    return one_hot.to(torch.get_default_dtype() if dtype is None else dtype)


def balanced(class_counts: Tensor, like: Tensor) -> Tensor:
    """Weights [C] of classes that training has n_c samples of: N / (C n_c), as scikit-learn's `balanced`, whose mean
    over the training samples is 1. A class without samples has weight 1 and does not count.

    >>> balanced(torch.tensor([6, 2]), torch.zeros(())).tolist()
    [0.6666666865348816, 2.0]
    """
    seen = class_counts > 0
    weights = class_counts.double().sum() / (seen.sum() * class_counts.clamp_min(1))
    return torch.where(seen, weights, 1.0).to(like.device, like.dtype)


def log_others(z: Tensor) -> Tensor:
    """log(1 - p) of p = softmax(z), [N, C] with C > 1: also of a p so near to 1 that the difference rounds to 0."""
    whole = z.logsumexp(-1, keepdim=True)
    # of the greatest, the sum of the others; no other one is above 1/2
    top = z.argmax(-1, keepdim=True) == torch.arange(z.shape[-1], device=z.device)
    others = z.masked_fill(top, -torch.inf).logsumexp(-1, keepdim=True) - whole
    return torch.where(top, others, torch.log1p(-(z - whole).exp().masked_fill(top, 0)))
