"""Tests of the scores of constant predictions, against scikit-learn's dummy estimators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import accuracy_score, balanced_accuracy_score, mean_absolute_error, mean_squared_error

import harness
from harness import Dataset, Samples
from harness.analysis.comparison.chance import constant_scores
from harness.config.settings import Split
from harness.datasets.baseline import baseline
from harness.datasets.dataset import SPLITS, from_arrays, surface

RNG = np.random.default_rng(0)
X = RNG.normal(size=(101, 3))


def targets(dataset: Dataset, split: str) -> tuple[np.ndarray, np.ndarray]:
    part = dataset.part(split)
    assert isinstance(part, Samples)
    return part.x.numpy(), part.y.double().numpy()


def test_majority_is_that_of_a_dummy_classifier() -> None:
    y = RNG.choice(3, 101, p=[0.2, 0.7, 0.1])
    dataset = from_arrays(X, y, Split(), torch.Generator(), target="class", classes=("a", "b", "c"))
    majority = baseline(dataset)["majority"]
    assert majority["class"] == "b"
    dummy = DummyClassifier().fit(*targets(dataset, "train"))
    for split in SPLITS:
        x, y = targets(dataset, split)
        assert majority[split] == np.sum(y == 1) / len(y) == accuracy_score(y, dummy.predict(x))
        expected = balanced_accuracy_score(y, dummy.predict(x))
        found = constant_scores({"majority": majority}, split)["balanced_accuracy"].value
        assert found == pytest.approx(expected, rel=1e-12, abs=0)


@pytest.mark.parametrize("n", [101, 100])
def test_mean_and_median_are_those_of_a_dummy_regressor(n: int) -> None:
    y = np.exp(RNG.normal(size=(n, 2)))
    dataset = from_arrays(X[:n], y, Split(), torch.Generator(), target="real")
    scores = baseline(dataset)
    for key, metric in (("mean", mean_squared_error), ("median", mean_absolute_error)):
        dummy = DummyRegressor(strategy=key).fit(*targets(dataset, "train"))
        x, y = targets(dataset, "train")
        # of an even number of samples, every value between the middle two has the least error on training
        assert scores[key]["train"] == pytest.approx(metric(y, dummy.predict(x)), rel=1e-9, abs=0)
        for split in SPLITS:
            _, y = targets(dataset, split)
            constant = np.broadcast_to(scores[key]["value"], y.shape)
            assert scores[key][split] == pytest.approx(metric(y, constant), rel=1e-9, abs=0)


def test_other_data_has_no_constant_score() -> None:
    whole = from_arrays(X, RNG.integers(0, 2, 101), Split(), torch.Generator(), target="class")
    assert baseline(replace(whole, train=list(zip(X, X, strict=True)))) == {}  # type: ignore[arg-type]
    assert baseline(surface(lambda w: w.sum(-1), (1.0,), (0.0,))) == {}


def test_run_whose_task_predicts_the_inputs_has_no_constant_score(workdir: object) -> None:
    words = ["data=diabetes", "epochs=1", "logger=[]", "diagnostic=[]", "save=none"]
    assert "mean" in harness.run(words).data
    assert "mean" not in harness.run([*words, "model=autoencoder"]).data
