"""How good predictions are, by what kind of target they are of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness_doctor.evidence_data import score

WORST = -3.0  # mark of a number: what is further off says no more


def scored(target: str, prediction: Tensor, truth: Tensor) -> float:
    """Accuracy, or r²: of logits [N, C] or [N, 1] against classes, of logits against labels, of numbers. nan where
    predictions are of another kind.
    """
    made = decided(target, prediction, truth)
    if made is None:
        return math.nan
    return score(target, made.double().numpy(), truth.reshape(made.shape).double().numpy())


def marks(target: str, prediction: Tensor, truth: Tensor) -> tuple[float, ...]:
    """How right each prediction is: what `scored` is the mean of; none where it is nan."""
    made = decided(target, prediction, truth)
    if made is None:
        return ()
    made, truth = made.double(), truth.reshape(made.shape).double()
    if target != "real":
        return tuple((made == truth).double().reshape(len(made), -1).mean(1).tolist())
    variance = truth.var(0, correction=0)
    each = (1 - (made - truth).square() / variance)[:, variance > 0].clamp_min(WORST)
    return tuple(each.mean(1).tolist()) if each.numel() else ()


def shares(truth: Tensor) -> tuple[float, ...]:
    """The share of each sample in the mean recall of the classes that there are."""
    truth = truth.reshape(-1).long()
    counts = torch.bincount(truth)
    return tuple((1 / (counts[truth] * (counts > 0).sum())).tolist())


def decided(target: str, prediction: Tensor, truth: Tensor) -> Tensor | None:
    """What predictions say: classes [N], labels [N, L], or numbers."""
    if not isinstance(prediction, Tensor) or not isinstance(truth, Tensor) or len(prediction) != len(truth):
        return None
    if target == "class" and prediction.ndim == 2:
        return prediction.argmax(1) if prediction.shape[1] > 1 else (prediction[:, 0] > 0).long()
    if target == "labels" and prediction.shape == truth.shape:
        return (prediction > 0).to(truth.dtype)
    if target == "real" and prediction.shape == truth.shape:
        return prediction
    return None


def recalls(prediction: Tensor, truth: Tensor, classes: int) -> tuple[float, ...]:
    """The share of each class's samples that are recognised; nan of a class without any."""
    made = decided("class", prediction, truth)
    if made is None:
        return ()
    truth = truth.reshape(-1)
    return tuple(float((made[truth == c] == c).double().mean()) for c in range(classes))


def right_logits(truth: Tensor, classes: int, certain: float) -> Tensor:
    """Logits [N, classes] of `certain` for the true class and 0 for the others; [N, 1] of ± `certain` for one logit."""
    truth = truth.reshape(-1).long()
    if classes == 1:
        return certain * (2.0 * truth[:, None] - 1)
    return certain * torch.nn.functional.one_hot(truth, classes).float()
