"""Scores of predictions for each kind of target."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness_doctor.evidence_data import score

WORST = -3.0  # lowest score of a sample: larger errors do not count more


def scored(target: str, prediction: Tensor, truth: Tensor) -> float:
    """Return the accuracy or r² of predictions; nan if they do not fit the target.

    Predictions are logits [N, C] or [N, 1] for classes, logits for labels, and numbers for real targets.
    """
    decisions = decided(target, prediction, truth)
    if decisions is None:
        return math.nan
    return score(target, decisions.double().numpy(), truth.reshape(decisions.shape).double().numpy())


def marks(target: str, prediction: Tensor, truth: Tensor) -> tuple[float, ...]:
    """Return the score of each sample, of which `scored` is the mean; () if that is nan."""
    decisions = decided(target, prediction, truth)
    if decisions is None:
        return ()
    decisions, truth = decisions.double(), truth.reshape(decisions.shape).double()
    if target != "real":
        return tuple((decisions == truth).double().reshape(len(decisions), -1).mean(1).tolist())
    variance = truth.var(0, correction=0)
    each = (1 - (decisions - truth).square() / variance)[:, variance > 0].clamp_min(WORST)
    return tuple(each.mean(1).tolist()) if each.numel() else ()


def shares(truth: Tensor) -> tuple[float, ...]:
    """Return the weight of each sample in the mean recall of the classes."""
    truth = truth.reshape(-1).long()
    counts = torch.bincount(truth)
    return tuple((1 / (counts[truth] * (counts > 0).sum())).tolist())


def decided(target: str, prediction: Tensor, truth: Tensor) -> Tensor | None:
    """Return the decisions of predictions: classes [N], labels [N, L], or numbers."""
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
    """Return the recall of each class; nan for a class without samples."""
    decisions = decided("class", prediction, truth)
    if decisions is None:
        return ()
    truth = truth.reshape(-1)
    return tuple(float((decisions[truth == c] == c).double().mean()) for c in range(classes))


def right_logits(truth: Tensor, classes: int, certain: float) -> Tensor:
    """Return logits [N, classes] of `certain` for the true class and 0 for others; ± `certain` [N, 1] for one logit."""
    truth = truth.reshape(-1).long()
    if classes == 1:
        return certain * (2.0 * truth[:, None] - 1)
    return certain * torch.nn.functional.one_hot(truth, classes).float()
