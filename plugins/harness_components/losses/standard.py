"""Losses of classification, regression and reconstruction: scalars, the mean over the batch."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor
from torch.nn import functional as F

import harness
from harness.space import Log, Uniform
from harness_components.losses.probability import balanced, log_others, probabilities, two_classes

Weights = Annotated[
    Literal["none", "balanced"],
    "class weights w; balanced: w_c = N / (C n_c) for a class with n_c of the N training samples",
]


@harness.loss(
    tasks=("classification", "binary_classification", "one_shot"),
    weighted="weights",
    reference="Bishop, Pattern recognition and machine learning, 2006, eq. 4.108",
)
def cross_entropy(
    prediction: Tensor,
    target: Tensor,
    class_counts: Tensor | None = None,
    *,
    label_smoothing: Annotated[float, Interval(ge=0, lt=1), "share of each target spread over all classes"] = 0.0,
    weights: Weights = "none",
) -> Tensor:
    """Cross-entropy of the softmax over logits.

    With class weights w, 1 unless balanced:

        L = - mean_n w_{y_n} log softmax(z_n)[y_n]

    The mean of balanced weights over the training samples is 1, so that L over the whole split is torch's weighted
    mean.

    Args:
        prediction: logits z, `[N, C]`; one logit `[N, 1]` of two classes stands for (0, z).
        target: classes y `[N]`, or probabilities `[N, C]`.
        class_counts: training samples of each class `[C]`, with balanced weights.

    >>> cross_entropy(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor(0.4100)
    """
    prediction, target = two_classes(prediction, target)
    if target.is_floating_point():
        target = target.to(prediction.dtype)
    if class_counts is None:
        return F.cross_entropy(prediction, target, label_smoothing=label_smoothing)
    classes = prediction.shape[-1]
    t = probabilities(target, classes, prediction.dtype) * (1 - label_smoothing) + label_smoothing / classes
    return -(t * balanced(class_counts, prediction) * F.log_softmax(prediction, -1)).sum(-1).mean()


@harness.loss(tasks=("regression", "reconstruction"))
def mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error.

        L = mean (ŷ - y)²

    Its minimizer is the mean of the targets; outliers dominate it: see `huber`.

    Args:
        prediction: ŷ, `[N, ...]`.
        target: y, of the same shape.

    >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(2.)
    """
    return F.mse_loss(prediction, target)


@harness.loss(
    tasks=("regression", "reconstruction"),
    reference="Bishop, Pattern recognition and machine learning, 2006, section 1.5.5",
)
def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error.

        L = mean |ŷ - y|

    Its minimizer is the median of the targets, which outliers do not move.

    Args:
        prediction: ŷ, `[N, ...]`.
        target: y, of the same shape.

    >>> mae(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(1.)
    """
    return F.l1_loss(prediction, target)


@harness.loss(
    tasks=("regression", "reconstruction"), reference="Huber, Robust estimation of a location parameter, 1964"
)
def huber(
    prediction: Tensor,
    target: Tensor,
    *,
    delta: Annotated[
        float, Log(1e-2, 10.0), Gt(0), "error above which the loss is linear, in units of the target"
    ] = 1.0,
) -> Tensor:
    """Huber loss: quadratic for small errors, linear for large ones.

        L = mean ρ(ŷ - y)
        ρ(e) = e² / 2 where |e| <= delta, else delta · (|e| - delta / 2)

    Args:
        prediction: ŷ, `[N, ...]`.
        target: y, of the same shape.

    >>> huber(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 4.0]))
    tensor(0.8125)
    """
    return F.huber_loss(prediction, target, delta=delta)


@harness.loss(
    tasks=("classification", "binary_classification", "multilabel", "one_shot"),
    weighted="weights",
    reference="Wightman, Touvron, Jégou, ResNet strikes back, 2021, arXiv:2110.00476, section 2.2",
)
def bce(prediction: Tensor, target: Tensor, class_counts: Tensor | None = None, *, weights: Weights = "none") -> Tensor:
    """Binary cross-entropy of a sigmoid on each logit: each class against the rest.

    With σ the logistic function, over samples and classes:

        L = - mean (t log σ(z) + (1 - t) log(1 - σ(z)))

    With balanced weights each sample is weighted by its class.

    Args:
        prediction: logits z, `[N, C]`.
        target: classes `[N]`, taken as one-hot, or values t in [0, 1] of the shape of the prediction.
        class_counts: training samples of each class `[C]`, with balanced weights.

    >>> bce(torch.tensor([[2.0, -2.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor(0.4100)
    """
    if target.ndim < prediction.ndim:
        target = probabilities(target, prediction.shape[-1])
    target = target.to(prediction.dtype)
    if class_counts is None:
        return F.binary_cross_entropy_with_logits(prediction, target)
    w = balanced(class_counts, prediction)
    sample_weight = w[0] + target * (w[1] - w[0]) if target.shape[-1] == 1 else (target * w).sum(-1, keepdim=True)
    return (sample_weight * F.binary_cross_entropy_with_logits(prediction, target, reduction="none")).mean()


@harness.loss(
    tasks=("classification", "binary_classification", "one_shot"),
    weighted="weights",
    reference="Lin et al., Focal loss for dense object detection, 2017, arXiv:1708.02002",
)
def focal(
    prediction: Tensor,
    target: Tensor,
    class_counts: Tensor | None = None,
    *,
    gamma: Annotated[float, Uniform(0.0, 5.0), Ge(0), "focusing exponent γ; 0 gives the cross-entropy"] = 2.0,
    weights: Weights = "none",
) -> Tensor:
    """Focal loss: a cross-entropy that gives little weight to samples that are already right.

    With p = softmax(z) and t the target's probabilities:

        L = - mean_n Σ_c t_nc (1 - p_nc)^gamma log p_nc

    Args:
        prediction: logits z, `[N, C]`; one logit `[N, 1]` of two classes stands for (0, z).
        target: classes `[N]`, or probabilities `[N, C]`.
        class_counts: training samples of each class `[C]`, with balanced weights.

    >>> z, y = torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    >>> focal(z, y), focal(z, y, gamma=0.0)
    (tensor(0.0875), tensor(0.4100))
    """
    prediction, target = two_classes(prediction, target)
    log_p = F.log_softmax(prediction, -1)
    # not 0, where a power below 1 has an infinite slope
    rest = (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)
    t = probabilities(target, prediction.shape[-1], prediction.dtype)
    if class_counts is not None:
        t = t * balanced(class_counts, prediction)
    return -(t * rest**gamma * log_p).sum(-1).mean()


@harness.loss(
    tasks=("classification", "binary_classification", "one_shot"),
    reference="Brier, Verification of forecasts expressed in terms of probability, 1950",
)
def softmax_mse(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the softmax's probabilities, also called Brier score.

    Over samples and classes:

        L = mean (softmax(z) - t)²

    The gradient vanishes where a prediction is confident and wrong: `cross_entropy` trains faster.

    Args:
        prediction: logits z, `[N, C]`; one logit `[N, 1]` of two classes stands for (0, z).
        target: classes `[N]`, taken as one-hot, or probabilities t `[N, C]`.

    >>> softmax_mse(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor(0.1321)
    """
    prediction, target = two_classes(prediction, target)
    p = prediction.softmax(-1)
    return F.mse_loss(p, probabilities(target, prediction.shape[-1], p.dtype))


@harness.loss(tasks=("classification", "binary_classification", "one_shot"))
def softmax_bce(prediction: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy on each output of a softmax.

    With p = softmax(z), over samples and classes:

        L = - mean (t log p + (1 - t) log(1 - p))

    For two classes it equals `cross_entropy`. With more, the other classes count once more, beside the softmax's own
    normalization: a common mistake, here for comparison.

    Args:
        prediction: logits z, `[N, C]`; one logit `[N, 1]` of two classes stands for (0, z).
        target: classes `[N]`, taken as one-hot, or probabilities t `[N, C]`.

    >>> softmax_bce(torch.tensor([[2.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1]))
    tensor(0.4100)
    """
    prediction, target = two_classes(prediction, target)
    t = probabilities(target, prediction.shape[-1], prediction.dtype)
    return -(t * F.log_softmax(prediction, -1) + (1 - t) * log_others(prediction)).mean()


@harness.loss(tasks=("regression", "classification"))
def raw_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean signed error, a wrong loss for demonstrations: it has no minimum, and training diverges.

    Over samples and outputs:

        L = mean (ŷ - y)

    Args:
        prediction: ŷ `[N, D]`, or logits `[N, C]`.
        target: y `[N, D]`, classes `[N]`, taken as one-hot, or probabilities `[N, C]`.

    >>> raw_error(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 4.0]))
    tensor(-1.)
    """
    if target.ndim < prediction.ndim:
        target = probabilities(target, prediction.shape[-1])
    return (prediction - target.to(prediction.dtype)).mean()
