"""Losses on logits of events that are each there or not."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

import harness


@harness.loss(
    tasks=("binary_classification", "multilabel"),
    reference="Bishop, Pattern recognition and machine learning, 2006, eq. 4.90",
)
def bce(prediction: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of a sigmoid over logits.

    L = - mean (y log σ(z) + (1 - y) log(1 - σ(z))). prediction: logits [N, D]; target: probabilities [N, D].
    """
    return F.binary_cross_entropy_with_logits(prediction, target)
