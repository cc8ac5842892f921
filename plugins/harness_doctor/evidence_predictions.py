"""Evidence on a network's predictions: scores, losses, and dependence on the batch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harness import Dataset, Noise
from harness_doctor.engine_training import SinglePath, evaluation_tuples, first_samples, sampled, without_running_stats
from harness_doctor.evidence import Scores
from harness_doctor.scoring import marks, recalls, right_logits, scored, shares

LOOKED = 1000  # largest number of samples to predict
CERTAIN = 20.0  # logit of a probability of 1 up to rounding


def scores(path: SinglePath, dataset: Dataset) -> Scores | None:
    """Return the scores of predictions; None if the task predicts no single samples, or targets have no score."""
    if dataset.target not in ("class", "real", "labels"):
        return None
    if evaluation_tuples(path.parts.task, dataset.train, "train", 0) is not None:
        return None
    (x, y), (vx, vy) = (sampled(dataset, LOOKED, split) for split in ("train", "val"))
    made, truth = _predicted(path, x, y)
    val, val_truth = _predicted(path, vx, vy)
    size = path.plan.batch_size
    pieces = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x) - size + 1, size)]
    batches = [_predicted(path, a, b, training=True) for a, b in pieces]
    train_mode = math.nan
    if batches and all(isinstance(p, Tensor) for pair in batches for p in pair):
        train_mode = scored(dataset.target, *(torch.cat([pair[i] for pair in batches]) for i in (0, 1)))
    classes = len(dataset.classes) if dataset.target == "class" else 0
    truths = vy if dataset.target == "class" else val_truth
    return Scores(
        scored(dataset.target, made, y if dataset.target == "class" else truth),
        train_mode,
        scored(dataset.target, val, truths),
        recalls(val, vy, classes) if classes and isinstance(val, Tensor) and val.ndim == 2 else (),
        marks(dataset.target, val, truths),
        shares(vy) if classes else (),
    )


def _predicted(
    path: SinglePath, x: Tensor, y: Tensor, training: bool = False, method: str = "forward"
) -> tuple[Any, Any]:
    """Return the task's predictions and targets, or with another `method` the model's output for x."""
    path.model.train(training)
    noise = Noise(path.key(0))
    try:
        with torch.no_grad(), path.redirect_noise(noise), without_running_stats(path.model):
            if method != "forward":
                return path._call(x, method=method), y
            made, truth = path.parts.task.predict(path._call, (x, y))
    except ValueError:  # one sample in a batch that is normalized over
        return None, None
    finally:
        path.model.train()
    return made, y if training and y.ndim == 1 else truth


def company(path: SinglePath, dataset: Dataset) -> float:
    """Return how much an evaluated prediction depends on the other samples in its batch, in standard deviations."""
    x, y = first_samples(dataset, 16)
    whole, _ = _predicted(path, x, y)
    pair, _ = _predicted(path, x[:2], y[:2])
    if not isinstance(whole, Tensor) or not isinstance(pair, Tensor) or len(pair) != 2 or len(whole) != len(x):
        return 0.0
    size = whole.double().std().clamp_min(1e-12)
    return float((whole[:2].double() - pair.double()).abs().max() / size)


def losses(path: SinglePath, dataset: Dataset) -> dict[str, Any]:
    """Return the loss of the predictions and of correct ones, and properties of the predictions."""
    if evaluation_tuples(path.parts.task, dataset.train, "train", 0) is not None:
        return {}
    x, y = sampled(dataset, LOOKED)
    made, _ = _predicted(path, x, y)
    found: dict[str, Any] = {}
    found["loss_made"] = _loss(path, x, y, None)
    if not isinstance(made, Tensor) or made.ndim != 2:
        return found
    if dataset.target == "real" and made.shape == y.shape:
        scale = getattr(path.model, "standardize", None)
        found["loss_right"] = _loss(path, x, y, y if scale is None else scale(y))
    if dataset.target == "class":
        classes = made.shape[1]
        found["loss_right"] = _loss(path, x, y, right_logits(y, classes, CERTAIN))
        if classes > 1:
            found["loss_of_certain"] = _loss(path, x, y, right_logits(y, classes, 1.0))
            total = made.double().sum(1)
            found["sums_to_one"] = bool((made >= 0).all() and ((total - 1).abs() < 1e-3).all())
    raw = _predicted(path, x, y, method="standardized")[0] if hasattr(path.model, "standardized") else made
    found["cut"] = float((raw == 0).double().mean()) if raw.std() > 0 else 0.0
    return found


def _loss(path: SinglePath, x: Tensor, y: Tensor, instead: Tensor | None) -> float:
    """Return the task's loss in evaluation mode, of the model's predictions or of `instead`."""
    path.model.eval()

    def call(*given: Any, method: str = "forward") -> Any:
        own = instead is None or method not in ("forward", "standardized")
        return path._call(*given, method=method) if own else instead

    try:
        with torch.no_grad(), path.redirect_noise(Noise(path.key(0))):
            made, _ = path.parts.task.evaluate(call, (x, y), Noise(path.key(0)))
        return float(sum(made.values()))
    except (ValueError, RuntimeError):  # what the task makes of them is not for its loss
        return math.nan
    finally:
        path.model.train()
