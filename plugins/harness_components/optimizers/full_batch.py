"""Optimizers that see all of the data in a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

import harness
from harness.space import Log


@harness.optimizer(
    reference="Cauchy, Méthode générale pour la résolution des systèmes d'équations simultanées, 1847", full_batch=True
)
def gd(
    params: Iterable[Tensor],
    *,
    lr: Annotated[float, Log(1e-3, 10), Gt(0)] = 0.1,
) -> torch.optim.Optimizer:
    """Gradient descent: a step an epoch, by the gradient of the mean loss over all training samples.

    w ← w - lr · ∇L(w). The gradient is summed over batches of `batch_size`, so that memory holds one batch.
    """
    return torch.optim.SGD(params, lr=lr)
