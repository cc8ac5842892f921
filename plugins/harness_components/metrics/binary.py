"""Metrics of logits of events that are each there or not.

torchmetrics takes a batch whose logits all happen to lie in [0, 1] for probabilities; so it is given what leaves no
choice: decisions, or probabilities.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryF1Score,
    MultilabelExactMatch,
    MultilabelF1Score,
)

import harness


def _decided(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [N, D] as decisions: one above 0 is a yes."""
    return (prediction > 0).long(), target.long()


class _Accuracy(BinaryAccuracy):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decided(prediction, target))


class _F1(BinaryF1Score):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decided(prediction, target))


class _LabelF1(MultilabelF1Score):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decided(prediction, target))


class _ExactMatch(MultilabelExactMatch):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*_decided(prediction, target))


class _AUROC(BinaryAUROC):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Logits as probabilities in float64, where the sigmoid keeps the order of all that are below 36."""
        super().update(prediction.double().sigmoid(), target.long())


@harness.metric(
    tasks=("binary_classification", "multilabel"), cases=(([[1.0], [-1.0], [2.0]], [[1.0], [1.0], [0.0]], 1 / 3),)
)
def binary_accuracy() -> Metric:
    """Share of the decisions that are right, of all labels alike (there: 1 - the Hamming loss)."""
    return _Accuracy(validate_args=False)


@harness.metric(
    tasks=("binary_classification", "multilabel"),
    reference="van Rijsbergen, Information retrieval, 1979",
    cases=(([[1.0], [-1.0], [2.0]], [[1.0], [1.0], [0.0]], 0.5),),
)
def binary_f1() -> Metric:
    """F1 of the second class, or of all labels alike: 2 TP / (2 TP + FP + FN)."""
    return _F1(validate_args=False)


@harness.metric(
    tasks=("binary_classification", "multilabel"),
    reference="Hanley, McNeil, Radiology 1982",
    cases=(([[1.0], [-1.0], [0.0]], [[1.0], [1.0], [0.0]], 0.5),),
)
def binary_auroc() -> Metric:
    """Area under the ROC curve: the chance that one of the second class has a higher logit than one of the first.

    Of labels, all alike: the chance that one that holds has a higher logit than one that does not.
    """
    return _AUROC(validate_args=False)


@harness.metric(
    tasks=("multilabel",),
    reference="van Rijsbergen, Information retrieval, 1979",
    cases=(([[1.0, -1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], 5 / 6),),
)
def label_f1(num_classes: int, *, average: Literal["micro", "macro", "weighted"] = "macro") -> Metric:
    """F1 of each label, 2 TP / (2 TP + FP + FN), averaged over the labels."""
    return _LabelF1(num_classes, average=average, validate_args=False)


@harness.metric(tasks=("multilabel",), cases=(([[1.0, -1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]], 0.5),))
def exact_match(num_classes: int) -> Metric:
    """Share of the samples of which every label is right."""
    return _ExactMatch(num_classes, validate_args=False)
