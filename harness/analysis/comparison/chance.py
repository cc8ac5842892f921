"""Scores of constant predictions in the metrics of a run, from what its record holds on the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.analysis.comparison.model import Arm, Chance, Metric

_SHARES = ("accuracy", "binary_accuracy")
TOLERANCE = 1e-9  # of the rounding of a mean


@dataclass(frozen=True)
class ConstantScore:
    """The score of a constant prediction in one metric.

    Attributes:
        constant: What is predicted: the training split's most frequent class, its mean or its median.
        value: The score.
    """

    constant: Literal["majority", "mean", "median"]
    value: float


def constant_scores(data: Mapping[str, Any], split: str) -> dict[str, ConstantScore]:
    """Return the scores of constant predictions on a split, for each metric whose score is known.

    The constant is the best one for the metric: the most frequent class, the mean for squared errors, the median for
    absolute errors. A constant class has a recall of 1 for itself and 0 for the other classes of the split.

    Args:
        data: The `data` of a record.
        split: "train", "val" or "test".

    >>> constant_scores({"majority": {"class": "no", "test": 0.9, "classes": {"test": 2}}}, "test")["balanced_accuracy"]
    ConstantScore(constant='majority', value=0.5)
    """
    scores: dict[str, ConstantScore] = {}
    if (share := _number(data, "majority", split)) is not None:
        scores |= {name: ConstantScore("majority", share) for name in _SHARES}
        if classes := _number(data["majority"], "classes", split):
            scores["balanced_accuracy"] = ConstantScore("majority", (share > 0) / classes)
    if (error := _number(data, "mean", split)) is not None:
        scores |= {"mse": ConstantScore("mean", error), "r2": ConstantScore("mean", 0.0)}
    if (error := _number(data, "median", split)) is not None:
        scores["mae"] = ConstantScore("median", error)
    return scores


def _number(data: Mapping[str, Any], key: str, split: str) -> float | None:
    node = data.get(key)
    value = node.get(split) if isinstance(node, Mapping) else None
    return float(value) if isinstance(value, int | float) else None


def chance(data: Mapping[str, Any], metric: str) -> Chance | None:
    """Return the score of a constant prediction in a metric, or None if it is unknown.

    Args:
        data: The `data` of a record.
        metric: Name of the metric in the record, for example "test/accuracy".

    >>> chance({"majority": {"class": "no", "test": 0.63}}, "test/accuracy")
    Chance(value=0.63, text="answering 'no' always scores .6300")
    """
    split, _, name = metric.partition("/")
    score = constant_scores(data, split).get(name)
    if score is None:
        return None
    if score.constant == "majority":
        share = f"{score.value:.4f}".removeprefix("0")
        return Chance(score.value, f"answering {data['majority'].get('class')!r} always scores {share}")
    return Chance(score.value, f"predicting the training {score.constant} always scores {score.value:.4g}")


def is_at_chance(arm: Arm, level: Chance | None, metric: Metric) -> bool:
    """Return True if the mean of an arm is no better than the score of a constant prediction."""
    if level is None or arm.mean is None:
        return False
    return (arm.mean - level.value) * (1 if metric.higher_is_better else -1) <= TOLERANCE


def chance_notes(arms: Sequence[Arm], level: Chance | None, metric: Metric, measured: Mapping[str, float]) -> list[str]:
    """Return a note on the arms that are no better than a constant prediction, if there are any.

    Args:
        arms: The arms of one data set.
        level: The score of a constant prediction, or None.
        metric: The metric compared.
        measured: The metrics of one of the runs: where the balanced accuracy is among them, the note names it.
    """
    names = [arm.name for arm in arms if is_at_chance(arm, level, metric)]
    if level is None or not names:
        return []
    listed = " and ".join(names) if len(names) <= 2 else f"{len(names)} of {len(arms)} arms"
    note = f"{listed} {'is' if len(names) == 1 else 'are'} no better than a constant: {level.text}"
    split, _, name = metric.name.partition("/")
    balanced = f"{split}/balanced_accuracy"
    if name in _SHARES and balanced in measured:
        note += f"; --metric {balanced} counts each class alike"
    return [note]
