"""Metrics of logits of events that are each present or absent.

torchmetrics takes a batch of logits that all lie in [0, 1] for probabilities. Decisions or probabilities, which are
unambiguous, are therefore passed to it.
"""

from __future__ import annotations

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)
from torchmetrics.utilities.data import dim_zero_cat

import harness
from harness_components.metrics.standard import Average


def _decisions(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Convert logits [N, D] to decisions: 1 above 0."""
    return (prediction > 0).long(), target.long()


class _Accuracy(BinaryAccuracy):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decisions(prediction, target))


class _F1(BinaryF1Score):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decisions(prediction, target))


class _LabelF1(MultilabelF1Score):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decisions(prediction, target))


class _ExactMatch(MultilabelExactMatch):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decisions(prediction, target))


class _AUROC(BinaryAUROC):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits as probabilities in float64, whose sigmoid keeps the order of all logits below 36."""
        super().update(prediction.double().sigmoid(), target.long())

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics
        """Return the share of the pairs of a positive and a negative sample that are ranked correctly; ties are half.

        Pairs are counted in integers: torchmetrics adds areas in float32.
        """
        scores, place = dim_zero_cat(self.preds).flatten().unique(return_inverse=True)
        positive = dim_zero_cat(self.target).flatten() == 1
        won, lost = (place[mask].bincount(minlength=len(scores)) for mask in (positive, ~positive))
        halves = (won * (2 * lost.cumsum(0) - lost)).sum()  # of a pair; two for a pair in the right order
        return halves / (2 * won.sum() * lost.sum()).double() + 0 * scores.sum()  # nan if a score is


@harness.metric(
    tasks=("binary_classification", "multilabel"), cases=(([[1.0], [-1.0], [2.0]], [[1.0], [1.0], [0.0]], 1 / 3),)
)
def binary_accuracy() -> Metric:
    """Share of correct decisions; with several labels over all of them, which is 1 - the Hamming loss.

    >>> import torch
    >>> binary_accuracy()(torch.tensor([[1.0], [-1.0], [2.0]]), torch.tensor([[1.0], [1.0], [1.0]]))
    tensor(0.6667)
    """
    return _Accuracy(validate_args=False)


@harness.metric(
    tasks=("binary_classification", "multilabel"),
    reference="van Rijsbergen, Information retrieval, 1979",
    cases=(([[1.0], [-1.0], [2.0]], [[1.0], [1.0], [0.0]], 0.5),),
)
def binary_f1() -> Metric:
    """F1 score of the second class, or of all labels together: 2 TP / (2 TP + FP + FN).

    >>> import torch
    >>> binary_f1()(torch.tensor([[1.0], [-1.0], [2.0]]), torch.tensor([[1.0], [1.0], [0.0]]))
    tensor(0.5000)
    """
    return _F1(validate_args=False)


@harness.metric(
    tasks=("binary_classification", "multilabel"),
    reference="Hanley, McNeil, Radiology 1982",
    cases=(([[1.0], [-1.0], [0.0]], [[1.0], [1.0], [0.0]], 0.5),),
)
def binary_auroc() -> Metric:
    """Area under the ROC curve: the probability that a sample of the second class has the higher logit.

    Compared with a sample of the first class; with several labels over all of them together. Does not depend on a
    threshold.

    >>> import torch
    >>> binary_auroc()(torch.tensor([[1.0], [-1.0], [0.0]]), torch.tensor([[1.0], [0.0], [1.0]]))
    tensor(1., dtype=torch.float64)
    """
    return _AUROC(validate_args=False)


@harness.metric(
    tasks=("multilabel",),
    reference="van Rijsbergen, Information retrieval, 1979",
    cases=(([[1.0, -1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], 5 / 6),),
)
def label_f1(num_classes: int, *, average: Average = "macro") -> Metric:
    """F1 score of each label, 2 TP / (2 TP + FP + FN), averaged over the labels.

    >>> import torch
    >>> label_f1(2)(torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor(0.8333)
    """
    return _LabelF1(num_classes, average=average, validate_args=False)


@harness.metric(tasks=("multilabel",), cases=(([[1.0, -1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], 0.5),))
def exact_match(num_classes: int) -> Metric:
    """Share of the samples with all labels correct.

    >>> import torch
    >>> exact_match(2)(torch.tensor([[1.0, -1.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor(0.5000)
    """
    return _ExactMatch(num_classes, validate_args=False)
