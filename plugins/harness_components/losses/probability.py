"""Targets and logits in the form that the losses and metrics of classification share."""

from __future__ import annotations

import torch
from torch import Tensor


def probabilities(target: Tensor, classes: int, dtype: torch.dtype | None = None) -> Tensor:
    """Convert targets to probabilities `[N, C]`: class indices `[N]` become one-hot, real targets are returned.

    >>> probabilities(torch.tensor([2, 0]), 3).tolist()
    [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """
    if target.is_floating_point():
        return target if dtype is None else target.to(dtype)
    one_hot = target[..., None] == torch.arange(classes, device=target.device)
    return one_hot.to(torch.get_default_dtype() if dtype is None else dtype)


def two_classes(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Write one logit z of two classes, `[N, 1]`, as the logits (0, z), and the target as probabilities of both.

    With more logits prediction and target are returned unchanged.

    >>> two_classes(torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    (tensor([[0., 2.]]), tensor([[0., 1.]]))
    """
    if prediction.shape[-1] != 1:
        return prediction, target
    target = target.to(prediction.dtype)
    return torch.cat([torch.zeros_like(prediction), prediction], -1), torch.cat([1 - target, target], -1)


def two_class_indices(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Like `two_classes`, with the target as class indices `[N]`."""
    z, p = two_classes(prediction, target)
    return (z, target) if z is prediction else (z, p.argmax(-1))


def balanced(class_counts: Tensor, like: Tensor) -> Tensor:
    """Return class weights N / (C n_c), `[C]`, for classes with n_c training samples: scikit-learn's `balanced`.

    Their mean over the training samples is 1. A class without samples has weight 1 and is not counted in C. `like`
    gives device and dtype.

    >>> balanced(torch.tensor([6, 2]), torch.zeros(())).tolist()
    [0.6666666865348816, 2.0]
    """
    present = class_counts > 0
    weights = class_counts.double().sum() / (present.sum() * class_counts.clamp_min(1))
    return torch.where(present, weights, 1.0).to(like.device, like.dtype)


def log_others(z: Tensor) -> Tensor:
    """Return log(1 - p) for p = softmax(z), `[N, C]` with C > 1, accurately where p is close to 1."""
    log_sum = z.logsumexp(-1, keepdim=True)
    # For the largest p add up the others; no other p is above 1/2, where log1p is accurate
    top = z.argmax(-1, keepdim=True) == torch.arange(z.shape[-1], device=z.device)
    others = z.masked_fill(top, -torch.inf).logsumexp(-1, keepdim=True) - log_sum
    return torch.where(top, others, torch.log1p(-(z - log_sum).exp().masked_fill(top, 0)))
