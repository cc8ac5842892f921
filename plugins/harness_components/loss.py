"""Losses: a scalar, a mean over the batch."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Interval
from torch import Tensor
from torch.nn import functional as F

import harness


@harness.loss(tasks=("classification",), reference="Bishop, Pattern recognition and machine learning, 2006, eq. 4.108")
def cross_entropy(
    prediction: Tensor, target: Tensor, *, label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0
) -> Tensor:
    """Cross-entropy of a softmax over logits.

    L = - mean_n log softmax(z_n)[y_n]. prediction: logits [N, C]; target: classes [N], or probabilities [N, C].
    """
    return F.cross_entropy(prediction, target, label_smoothing=label_smoothing)


@harness.loss(tasks=("regression", "reconstruction"))
def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error.

    L = mean (ŷ - y)². prediction and target: [N, ...].
    """
    return F.mse_loss(prediction, target)
