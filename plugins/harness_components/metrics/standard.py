"""Metrics of classification and regression: torchmetrics' own where sums over batches are enough for them.

Classification compares logits [N, C] with classes [N], regression [N, D] with [N, D].
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

import harness
from harness_components.losses.probability import probabilities, two_class_indices
from harness_components.metrics.sums import Sums

Average = Annotated[
    Literal["micro", "macro", "weighted"],
    "over all samples, over the classes with equal weights, or with weights by their samples",
]
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
    """Share of the samples whose most probable class is the true one; with macro the mean of the classes' shares.

    >>> accuracy(2)(torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    """
    return _Accuracy(num_classes, average=average, validate_args=False)


@harness.metric(
    tasks=CLASSES,
    reference="van Rijsbergen, Information retrieval, 1979",
    cases=(([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]], [0, 1, 1, 2], 4 / 9),),
)
def f1(num_classes: int, *, average: Average = "macro") -> Metric:
    """F1 score, the harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN), averaged over the classes.

    >>> f1(2)(torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 1, 1]))
    tensor(0.6667)
    """
    return _F1(num_classes, average=average, validate_args=False)


class ProbabilityError(MeanSquaredError):
    """Mean squared error of the probabilities of logits."""

    def __init__(self, classes: bool) -> None:
        super().__init__()
        self.set_dtype(torch.float64)
        self.classes = classes  # True: softmax over classes; False: sigmoid of each label

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits [N, D], and classes [N] or labels [N, D]."""
        z = prediction.double()
        p = z.softmax(-1) if self.classes else z.sigmoid()
        super().update(p, probabilities(target, p.shape[-1], p.dtype))


@harness.metric(tasks=("regression", "reconstruction", "classification", "binary_classification", "multilabel"))
def mse(task: str) -> Metric:
    """Mean squared error over samples and targets, mean (ŷ - y)², in squared units of the target.

    For classification ŷ = softmax(z) and y is one-hot, for labels ŷ = σ(z): it can be watched while another loss
    trains. For classes it is `brier` / C.

    >>> mse("regression")(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    tensor(2., dtype=torch.float64)
    """
    if task in ("regression", "reconstruction"):
        return MeanSquaredError().set_dtype(torch.float64)
    return ProbabilityError(classes=task == "classification")


@harness.metric(tasks=("regression", "reconstruction"), cases=(([[1.0], [2.0]], [[1.0], [4.0]], 1.0),))
def mae() -> Metric:
    """Mean absolute error over samples and targets, in the target's units.

    >>> mae()(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    tensor(1., dtype=torch.float64)
    """
    return MeanAbsoluteError().set_dtype(torch.float64)


class R2(Metric):
    """Coefficient of determination, 1 - residual / spread for each target.

    Means and squared deviations of batches are merged (Chan, Golub, LeVeque, 1979): a sum of squares would lose the
    spread of targets far from 0.
    """

    full_state_update = False
    higher_is_better = True
    count: Tensor
    mean: Tensor
    spread: Tensor
    residual: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("count", "mean", "spread", "residual"):  # stacked over processes, not summed
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx=None)

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add predictions and targets, [N, D] each."""
        y = target.double()
        n, mean = len(y), y.mean(0)
        off, count = mean - self.mean, self.count + n
        self.spread = self.spread + (y - mean).square().sum(0) + off.square() * self.count * n / count
        self.mean = self.mean + off * n / count
        self.residual = self.residual + (y - prediction.double()).square().sum(0)
        self.count = count

    def compute(self) -> Tensor:
        """Return the mean over targets; a constant one counts 1 if predicted exactly and else 0, as in scikit-learn."""
        count, mean, spread, residual = self.count, self.mean, self.spread, self.residual
        if count.ndim:  # [processes], and the others [processes, D]
            share = count[:, None] / count.sum()
            off = mean - mean[0]
            off = off - (share * off).sum(0)
            spread = spread.sum(0) + (count[:, None] * off.square()).sum(0)
            count, mean, residual = count.sum(), (share * mean).sum(0), residual.sum(0)
        # a constant target, up to rounding
        constant = spread <= count * (16 * torch.finfo(torch.float64).eps * mean).square()
        return torch.where(constant, (residual == 0).double(), 1 - residual / spread).mean()


@harness.metric(
    tasks=("regression",),
    reference="Draper, Smith, Applied regression analysis, 1966",
    cases=(([[1.0], [2.0]], [[1.0], [4.0]], 1 / 9),),
)
def r2() -> Metric:
    """Coefficient of determination: the explained share of the target's variance, 1 - Σ (y - ŷ)² / Σ (y - ȳ)².

    The mean over targets. 1 is perfect, 0 is reached by predicting the mean; there is no lower bound.

    >>> metric = r2()
    >>> metric.update(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]]))
    >>> round(float(metric.compute()), 4)  # 1 - 4 / 4.5
    0.1111
    """
    return R2()


class BalancedAccuracy(Sums):
    """Mean of the classes' recalls."""

    higher_is_better = True
    right: Tensor
    all: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__(right=(classes,), all=(classes,))
        self.classes = classes

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits [N, C] and classes [N]."""
        prediction, target = two_class_indices(prediction, target)
        one_hot = probabilities(target, self.classes, torch.float64)
        right = one_hot * (prediction.argmax(-1) == target)[:, None]
        self.add(len(one_hot), right=right.sum(0), all=one_hot.sum(0))

    def compute(self) -> Tensor:
        """Return the mean over the classes with samples."""
        present = self.all > 0
        return (self.right[present] / self.all[present]).mean()


@harness.metric(
    tasks=CLASSES,
    reference="Brodersen et al., The balanced accuracy, ICPR 2010",
    cases=(([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.0]], [0, 1, 1, 2], 0.5),),
)
def balanced_accuracy(num_classes: int) -> Metric:
    """Mean of the classes' recalls: guessing gives 1 / C, however imbalanced the classes are.

    Classes without a sample in the split are left out.

    >>> balanced_accuracy(2)(torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]]), torch.tensor([0, 1, 1]))
    tensor(0.7500, dtype=torch.float64)
    """
    return BalancedAccuracy(num_classes)
