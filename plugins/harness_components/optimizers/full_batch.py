"""Full-batch optimizers."""

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
    lr: Annotated[float, Log(1e-3, 10), Gt(0), "learning rate"] = 0.1,
) -> torch.optim.Optimizer:
    """Full-batch gradient descent: one step in each epoch.

    With L the mean loss over the training split:

        w ← w - lr · ∇L(w)

    The gradient is summed over batches of `batch_size`, so that memory holds one batch.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(gd, lr=0.1)
    [1.0, 0.9, 0.81, 0.729]
    """
    return torch.optim.SGD(params, lr=lr)
