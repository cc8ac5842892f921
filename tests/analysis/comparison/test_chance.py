"""Tests of the score of a constant prediction in the metrics of a record."""

from __future__ import annotations

from typing import Any

import pytest

from harness.analysis.comparison.chance import chance, chance_notes, constant_scores
from harness.analysis.comparison.model import Arm, Chance, Metric

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


@pytest.mark.parametrize(
    ("means", "measured", "expected"),
    [
        ({"a": 0.7, "b": 0.64}, {}, []),
        ({"a": 0.7, "b": 0.63}, {}, ["b is no better than a constant: answering 'no' always scores .6300"]),
        ({"a": 0.63, "b": 0.2}, {}, ["a and b are no better than a constant: answering 'no' always scores .6300"]),
        (
            {"a": 0.7, "b": 0.6, "c": 0.5, "d": 0.4},
            {"test/balanced_accuracy": 0.5},
            [
                "3 of 4 arms are no better than a constant: answering 'no' always scores .6300; "
                "--metric test/balanced_accuracy counts each class alike"
            ],
        ),
        ({"a": None}, {}, []),
    ],
)
def test_arms_no_better_than_a_constant_are_named(
    means: dict[str, float | None], measured: dict[str, float], expected: list[str]
) -> None:
    arms = [Arm(name, {}, 3, 3, mean) for name, mean in means.items()]
    metric = Metric("test/accuracy", higher_is_better=True, scale="difference", share=True)
    assert chance_notes(arms, chance(CLASSES, metric.name), metric, measured) == expected


def test_an_error_is_no_better_than_a_constant_if_it_is_as_large() -> None:
    arms = [Arm(name, {}, 3, 3, mean) for name, mean in {"a": 2.0, "b": 2.25}.items()]
    metric = Metric("test/mse", higher_is_better=False, scale="ratio")
    notes = ["b is no better than a constant: predicting the training mean always scores 2.25"]
    assert chance_notes(arms, chance(REAL, metric.name), metric, {}) == notes
    assert chance_notes(arms, None, metric, {}) == []
