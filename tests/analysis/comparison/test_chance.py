"""Tests of the score of a constant prediction in the metrics of a record."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.comparison.chance import chance, constant_scores
from harness.analysis.comparison.model import Chance

CLASSES = {"majority": {"class": "no", "train": 0.6, "val": 0.62, "test": 0.63, "classes": {"val": 2, "test": 4}}}
REAL = {"mean": {"value": [3.0], "val": 2.5, "test": 2.25}, "median": {"value": [2.0], "val": 1.0, "test": 1.25}}


@pytest.mark.parametrize(
    ("data", "metric", "expected"),
    [
        (CLASSES, "test/accuracy", Chance(0.63, "answering 'no' always scores .6300")),
        (CLASSES, "val/binary_accuracy", Chance(0.62, "answering 'no' always scores .6200")),
        (CLASSES, "test/balanced_accuracy", Chance(0.25, "answering 'no' always scores .2500")),
        (REAL, "test/mse", Chance(2.25, "predicting the training mean always scores 2.25")),
        (REAL, "test/r2", Chance(0.0, "predicting the training mean always scores 0")),
        (REAL, "val/mae", Chance(1.0, "predicting the training median always scores 1")),
        (CLASSES, "test/mse", None),
        (CLASSES, "train/balanced_accuracy", None),
        (CLASSES, "test/f1", None),
        (REAL, "epochs_to_target", None),
        ({}, "test/accuracy", None),
        ({"majority": {"class": "no"}, "mean": None}, "test/accuracy", None),
    ],
)
def test_chance_of_a_metric(data: dict[str, Any], metric: str, expected: Chance | None) -> None:
    assert chance(data, metric) == expected


def test_class_that_the_split_lacks_is_never_right() -> None:
    data = {"majority": {"class": "no", "test": 0.0, "classes": {"test": 3}}}
    assert constant_scores(data, "test")["balanced_accuracy"].value == 0
