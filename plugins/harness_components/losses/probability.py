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


def both(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """One logit z of two classes, [N, 1], as the logits (0, z) of both, and the second's probability as both classes'.

    What has more logits is kept.

    >>> both(torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    (tensor([[0., 2.]]), tensor([[0., 1.]]))
    """
    if prediction.shape[-1] != 1:
        return prediction, target
    target = target.to(prediction.dtype)
    return torch.cat([torch.zeros_like(prediction), prediction], -1), torch.cat([1 - target, target], -1)


def both_decided(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The same, with the index of the class that is there, [N]."""
    z, p = both(prediction, target)
    return (z, target) if z is prediction else (z, p.argmax(-1))


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
