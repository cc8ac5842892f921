"""Losses: a scalar, a mean over the batch."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor
from torch.nn import functional as F

import harness
from harness.space import Log, Uniform
from harness_components.losses.probability import balanced, both, log_others, probabilities

Weights = Annotated[
    Literal["none", "balanced"],
    "of classes; balanced: N / (C n_c) for a class with n_c of the N training samples, so that rare classes count",
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
    label_smoothing: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    weights: Weights = "none",
) -> Tensor:
    """Cross-entropy of a softmax over logits.

    L = - mean_n w_{y_n} log softmax(z_n)[y_n], with weights w that are 1 or balanced: their mean over the training
    samples is 1, and over all of these L is torch's weighted mean. prediction: logits [N, C]; target: classes [N], or
    probabilities [N, C]. One logit [N, 1] of two classes stands for (0, z).
    """
    prediction, target = both(prediction, target)
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

    L = mean (ŷ - y)². prediction and target: [N, ...].
    """
    return F.mse_loss(prediction, target)


@harness.loss(
    tasks=("regression", "reconstruction"),
    reference="Bishop, Pattern recognition and machine learning, 2006, section 1.5.5",
)
def mae(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error: its best constant is the median.

    L = mean |ŷ - y|. prediction and target: [N, ...].
    """
    return F.l1_loss(prediction, target)


@harness.loss(
    tasks=("regression", "reconstruction"), reference="Huber, Robust estimation of a location parameter, 1964"
)
def huber(
    prediction: Tensor,
    target: Tensor,
    *,
    delta: Annotated[float, Log(1e-2, 10.0), Gt(0), "the error from which on it is linear"] = 1.0,
) -> Tensor:
    """Huber's loss: squared for small errors, linear for large ones.

    L = mean ρ(ŷ - y), ρ(e) = e² / 2 where |e| <= delta, else delta · (|e| - delta / 2). prediction and target:
    [N, ...].
    """
    return F.huber_loss(prediction, target, delta=delta)


@harness.loss(
    tasks=("classification", "binary_classification", "multilabel", "one_shot"),
    weighted="weights",
    reference="Wightman, Touvron, Jégou, ResNet strikes back, 2021, arXiv:2110.00476, section 2.2",
)
def bce(prediction: Tensor, target: Tensor, class_counts: Tensor | None = None, *, weights: Weights = "none") -> Tensor:
    """Binary cross-entropy of a sigmoid on each logit: one class against the rest, for each class.

    L = - mean (t log σ(z) + (1 - t) log(1 - σ(z))), over samples and classes. prediction: logits [N, C]; target:
    classes [N] (one-hot then), or values in [0, 1] of the predictions' shape. With weights a sample counts as much as
    its class does.
    """
    if target.ndim < prediction.ndim:
        target = probabilities(target, prediction.shape[-1])
    target = target.to(prediction.dtype)
    if class_counts is None:
        return F.binary_cross_entropy_with_logits(prediction, target)
    w = balanced(class_counts, prediction)
    of_sample = w[0] + target * (w[1] - w[0]) if target.shape[-1] == 1 else (target * w).sum(-1, keepdim=True)
    return (of_sample * F.binary_cross_entropy_with_logits(prediction, target, reduction="none")).mean()


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
    gamma: Annotated[float, Uniform(0.0, 5.0), Ge(0), "how much less easy samples count"] = 2.0,
    weights: Weights = "none",
) -> Tensor:
    """Cross-entropy in which samples that are already right count little.

    L = - mean_n Σ_c t_nc (1 - p_nc)^gamma log p_nc, p = softmax(z); gamma = 0 is the cross-entropy. prediction: logits
    [N, C]; target: classes [N], or probabilities [N, C]. One logit [N, 1] of two classes stands for (0, z).
    """
    prediction, target = both(prediction, target)
    log_p = F.log_softmax(prediction, -1)
    # never 0, of which a power below 1 has no finite slope
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
    """Mean squared error of the softmax's probabilities: where these are wrong and sure, its slope vanishes.

    L = mean (softmax(z) - t)², over samples and classes. prediction: logits [N, C]; target: classes [N], or
    probabilities [N, C]. One logit [N, 1] of two classes stands for (0, z).
    """
    prediction, target = both(prediction, target)
    p = prediction.softmax(-1)
    return F.mse_loss(p, probabilities(target, prediction.shape[-1], p.dtype))


@harness.loss(tasks=("classification", "binary_classification", "one_shot"))
def softmax_bce(prediction: Tensor, target: Tensor) -> Tensor:
    """The binary formula on each output of a softmax: the other classes count too, beside what the softmax does.

    L = - mean (t log p + (1 - t) log(1 - p)), p = softmax(z), over samples and classes; for two classes it is the
    cross-entropy. prediction: logits [N, C]; target: classes [N], or probabilities [N, C]. One logit [N, 1] of two
    classes stands for (0, z).
    """
    prediction, target = both(prediction, target)
    t = probabilities(target, prediction.shape[-1], prediction.dtype)
    return -(t * F.log_softmax(prediction, -1) + (1 - t) * log_others(prediction)).mean()


@harness.loss(tasks=("regression", "classification"))
def raw_error(prediction: Tensor, target: Tensor) -> Tensor:
    """The error without square or absolute value: a wrong loss, which has no least value and diverges.

    L = mean (ŷ - y), over samples and outputs. prediction: [N, D], or logits [N, C]; target: [N, D], or classes [N]
    (one-hot then), or probabilities [N, C].
    """
    if target.ndim < prediction.ndim:
        target = probabilities(target, prediction.shape[-1])
    return (prediction - target.to(prediction.dtype)).mean()
