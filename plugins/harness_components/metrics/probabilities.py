"""Metrics of predicted class probabilities: logits [N, C] against classes [N]."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor
from torchmetrics import Metric

import harness
from harness_components.losses.probability import log_others, probabilities, two_class_indices
from harness_components.metrics.standard import CLASSES
from harness_components.metrics.sums import Sums


class ProbabilityScore(Sums):
    """Mean over samples of a function of the softmax and the one-hot target."""

    total: Tensor

    def __init__(self, classes: int, log: bool) -> None:
        super().__init__(total=())
        self.classes, self.log = classes, log

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits [N, C] and classes [N]."""
        prediction, target = two_class_indices(prediction, target)
        one_hot = probabilities(target, self.classes, torch.float64)
        z = prediction.double()
        terms = -one_hot * z.log_softmax(-1) if self.log else (z.softmax(-1) - one_hot).square()
        self.add(len(one_hot), total=terms.sum())

    def compute(self) -> Tensor:
        """Return the mean over the samples."""
        return self.total / self.count


@harness.metric(
    tasks=CLASSES,
    reference="Good, Rational decisions, 1952",
    cases=(([[0.0, 0.0], [0.0, 1.0986123]], [0, 1], 0.4904146),),
)
def cross_entropy(num_classes: int) -> Metric:
    """Cross-entropy (log loss): mean of minus the log probability of the true class, in nats.

    >>> cross_entropy(2)(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))  # log 2
    tensor(0.6931, dtype=torch.float64)
    """
    return ProbabilityScore(num_classes, log=True)


class Perplexity(ProbabilityScore):
    """Exponential of the mean cross-entropy."""

    def compute(self) -> Tensor:
        """Return the exponential of the mean over the samples."""
        return super().compute().exp()


@harness.metric(
    tasks=CLASSES,
    reference="Jelinek, Mercer, Bahl, Baker, Perplexity: a measure of the difficulty of speech recognition tasks, 1977",
    cases=(([[0.0, 0.0], [0.0, 1.0986123]], [0, 1], 1.6329932),),
)
def perplexity(num_classes: int) -> Metric:
    """Exponential of the cross-entropy: the number of equally likely classes that would be as uncertain.

    >>> perplexity(2)(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor(2., dtype=torch.float64)
    """
    return Perplexity(num_classes, log=True)


@harness.metric(
    tasks=CLASSES,
    reference="Brier, Verification of forecasts expressed in terms of probability, 1950",
    cases=(([[0.0, 0.0], [0.0, 1.0986123]], [0, 1], 0.3125),),
)
def brier(num_classes: int) -> Metric:
    """Brier score: mean over samples of Σ_c (p_c - y_c)², from 0 to 2, which is C times the mean squared error of p.

    >>> brier(2)(torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor(0.5000, dtype=torch.float64)
    """
    return ProbabilityScore(num_classes, log=False)


class CalibrationError(Sums):
    """Gap between confidence and accuracy, over bins of the confidence."""

    confidence: Tensor
    right: Tensor
    each: Tensor

    def __init__(self, bins: int, norm: str) -> None:
        super().__init__(confidence=(bins,), right=(bins,), each=(bins,))
        self.bins, self.norm = bins, norm

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits [N, C] and classes [N]."""
        prediction, target = two_class_indices(prediction, target)
        best = prediction.double().softmax(-1).max(-1)
        at = ((best.values * self.bins).ceil() - 1).clamp(0, self.bins - 1)
        inside = (at[:, None] == torch.arange(self.bins, device=at.device)).double()
        right = (best.indices == target).double()
        self.add(len(at), confidence=best.values @ inside, right=right @ inside, each=inside.sum(0))

    def compute(self) -> Tensor:
        """Return the error; empty bins do not count."""
        gap = (self.right - self.confidence).abs() / self.each.clamp_min(1)
        share = self.each / self.count
        return {"l1": (gap * share).sum(), "l2": (gap.square() * share).sum().sqrt(), "max": gap.max()}[self.norm]


@harness.metric(
    tasks=CLASSES,
    reference="Guo et al., On calibration of modern neural networks, ICML 2017",
    cases=(([[0.0, 0.0], [0.0, 1.0986123]], [0, 1], 0.375),),
)
def calibration_error(
    *,
    bins: Annotated[int, Ge(1), "number of bins of equal width in [0, 1]"] = 15,
    norm: Annotated[Literal["l1", "l2", "max"], "expected, root mean square or maximum calibration error"] = "l1",
) -> Metric:
    """Expected calibration error: Σ_b n_b / N · |accuracy_b - confidence_b|, over bins of the largest probability.

    An estimate that depends on `bins` and is biased upwards for small N: compare equal splits alone.

    >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0]])  # 88% confident, 50% right
    >>> calibration_error()(logits, torch.tensor([0, 1]))
    tensor(0.3808, dtype=torch.float64)
    """
    return CalibrationError(bins, norm)


LIMIT = 32.0  # logits beyond it fall into the outermost bin: probabilities of 1e-14


class Auroc(Sums):
    """Area under the ROC curve of each class, from histograms of the logit of its probability."""

    higher_is_better = True
    counts: Tensor

    def __init__(self, classes: int, bins: int, average: Literal["macro", "weighted"]) -> None:
        super().__init__(counts=(classes, 2, bins))
        self.classes, self.bins, self.average = classes, bins, average

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add logits [N, C] and classes [N]."""
        prediction, target = two_class_indices(prediction, target)
        classes, bins = self.classes, self.bins
        # even in the logit: a network that is sure of itself puts all its probabilities next to 0 and 1
        z = prediction.double()
        logit = z.log_softmax(-1) - log_others(z)
        at = ((logit.nan_to_num() + LIMIT) * (bins / (2 * LIMIT))).clamp(0, bins - 1).long()
        every = torch.arange(classes, device=at.device)
        place = (every * 2 + (target[:, None] == every)) * bins + at
        empty = torch.zeros(classes * 2 * bins, dtype=torch.float64, device=at.device)
        # nan counts as nan, so that the area is nan too
        counts = empty.scatter_add(0, place.flatten(), (1 + 0 * logit).flatten())
        self.add(len(target), counts=counts.reshape(classes, 2, bins))

    def compute(self) -> Tensor:
        """Return the mean over the classes with samples inside and outside of them; nan if there is none."""
        outside, inside = self.counts.unbind(1)
        below = outside.cumsum(-1) - outside / 2  # pairs in one bin count half
        pairs = inside.sum(-1) * outside.sum(-1)
        area = (inside * below).sum(-1) / pairs.clamp_min(1)
        weight = (pairs > 0) * (inside.sum(-1) if self.average == "weighted" else 1.0)
        return (area * weight).sum() / weight.sum()


@harness.metric(
    tasks=CLASSES,
    reference="Hanley, McNeil, The meaning and use of the area under a ROC, 1982",
    cases=(([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], [0, 1, 0], 0.5),),
)
def auroc(
    num_classes: int,
    *,
    bins: Annotated[int, Ge(2), "number of bins of the probability's logit in [-32, 32]"] = 640,
    average: Annotated[
        Literal["macro", "weighted"], "mean over the classes: equal weights, or by their samples"
    ] = "macro",
) -> Metric:
    """Area under the ROC curve of each class against the rest: how well its samples are ranked above the others.

    The probability that p_c of a random sample of class c is above that of a random other sample, averaged over the
    classes. Pairs in one bin count half. Classes without samples in the split are left out.

    >>> auroc(2)(torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1, 1]))
    tensor(1., dtype=torch.float64)
    """
    return Auroc(num_classes, bins, average)
