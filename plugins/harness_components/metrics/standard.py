"""Metrics: summed over batches and processes, then computed once; torchmetrics' own where sums are enough for them.

Classification is measured on logits [N, C] against classes [N], regression on [N, D] against [N, D].
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

import harness
from harness_components.losses.probability import probabilities, two_class_indices
from harness_components.metrics.sums import Sums

Average = Literal["micro", "macro", "weighted"]


CLASSES = ("classification", "binary_classification")  # one logit of two classes stands for (0, z)


class _Accuracy(MulticlassAccuracy):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*two_class_indices(prediction, target))


class _F1(MulticlassF1Score):
    def update(self, prediction: Tensor, target: Tensor) -> None:
        super().update(*two_class_indices(prediction, target))


@harness.metric(
    tasks=CLASSES,
    cases=(([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]], [0, 1, 1, 2], 0.5),),
)
def accuracy(num_classes: int, *, average: Average = "micro") -> Metric:
    """Share of the samples whose most probable class is theirs (macro: the mean of the classes' shares)."""
    return _Accuracy(num_classes, average=average, validate_args=False)


@harness.metric(
    tasks=CLASSES,
    reference="van Rijsbergen, Information retrieval, 1979",
    cases=(([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]], [0, 1, 1, 2], 4 / 9),),
)
def f1(num_classes: int, *, average: Average = "macro") -> Metric:
    """F1: the harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), averaged over the classes."""
    return _F1(num_classes, average=average, validate_args=False)


class ProbabilityError(MeanSquaredError):
    """The mean squared error of what logits stand for."""

    def __init__(self, classes: bool) -> None:
        super().__init__()
        self.classes = classes  # of which one holds: by softmax, and else by sigmoid

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Logits [N, D]; classes [N], or which of D hold [N, D]."""
        p = prediction.softmax(-1) if self.classes else prediction.sigmoid()
        super().update(p, probabilities(target, p.shape[-1], p.dtype))


@harness.metric(tasks=("regression", "reconstruction", "classification", "binary_classification", "multilabel"))
def mse(task: str) -> Metric:
    """Mean squared error, over samples and targets: mean (ŷ - y)², in the target's units squared.

    Where logits are predicted, ŷ are their probabilities, softmax(z) of classes (whose y is one-hot) and σ(z) of
    labels: so it can be watched while another loss is trained on. That of classes is `brier` / C.
    """
    if task in ("regression", "reconstruction"):
        return MeanSquaredError().set_dtype(torch.float64)
    return ProbabilityError(classes=task == "classification")


@harness.metric(tasks=("regression", "reconstruction"), cases=(([[1.0], [2.0]], [[1.0], [4.0]], 1.0),))
def mae() -> Metric:
    """Mean absolute error, over samples and targets, in the target's units."""
    return MeanAbsoluteError().set_dtype(torch.float64)


class R2(Metric):
    """1 - residual / spread, for each target.

    Means and squared deviations of batches are merged (Chan, Golub, LeVeque, 1979): a sum of squares would lose the
    spread of targets that are far from 0.
    """

    full_state_update = False
    higher_is_better = True
    count: Tensor
    mean: Tensor
    spread: Tensor
    residual: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "mean", "spread", "residual"):  # of several processes one below the other
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx=None)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """[N, D]"""
        y = target.double()
        n, mean = len(y), y.mean(0)
        off, count = mean - self.mean, self.count + n
        self.spread = self.spread + (y - mean).square().sum(0) + off.square() * self.count * n / count
        self.mean = self.mean + off * n / count
        self.residual = self.residual + (y - prediction.double()).square().sum(0)
        self.count = count

    def compute(self) -> Tensor:
        """The mean over the targets; of one that is constant, 1 if it is met and 0 otherwise, as in scikit-learn."""
        count, mean, spread, residual = self.count, self.mean, self.spread, self.residual
        if count.ndim:  # [processes], and the others [processes, D]
            share = count[:, None] / count.sum()
            off = mean - mean[0]
            off = off - (share * off).sum(0)
            spread = spread.sum(0) + (count[:, None] * off.square()).sum(0)
            count, mean, residual = count.sum(), (share * mean).sum(0), residual.sum(0)
        # what rounding leaves of nothing
        constant = spread <= count * (16 * torch.finfo(torch.float64).eps * mean).square()
        return torch.where(constant, (residual == 0).double(), 1 - residual / spread).mean()


@harness.metric(
    tasks=("regression",),
    reference="Draper, Smith, Applied regression analysis, 1966",
    cases=(([[1.0], [2.0]], [[1.0], [4.0]], 1 / 9),),
)
def r2() -> Metric:
    """Coefficient of determination: the share of the target's variance that is explained, 1 - Σ (y - ŷ)² / Σ (y - ȳ)².

    The mean over targets. 1 is perfect, 0 is what the mean of the targets reaches; there is no lower bound.
    """
    return R2()


class BalancedAccuracy(Sums):
    """The mean of the classes' recalls."""

    higher_is_better = True
    right: Tensor
    all: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__(right=(classes,), all=(classes,))
        self.classes = classes

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Logits [N, C], classes [N]."""
        prediction, target = two_class_indices(prediction, target)
        own = probabilities(target, self.classes, torch.float64)
        self.add(len(own), right=(own * (prediction.argmax(-1) == target)[:, None]).sum(0), all=own.sum(0))

    def compute(self) -> Tensor:
        """Of the classes that there are."""
        found = self.all > 0
        return (self.right[found] / self.all[found]).mean()


@harness.metric(
    tasks=CLASSES,
    reference="Brodersen et al., The balanced accuracy, ICPR 2010",
    cases=(([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]], [0, 1, 1, 2], 0.5),),
)
def balanced_accuracy(num_classes: int) -> Metric:
    """Mean over the classes of the share of their samples that is found: guessing gives 1 / C, however uneven they are.

    Classes without a sample in the split are left out.
    """
    return BalancedAccuracy(num_classes)
