"""Tests of training a single model: estimators are fitted in one step and otherwise run as networks do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.neighbors import NearestCentroid

import harness
from harness.config.composition import compose
from harness.execution.preparation import prepare
from harness.execution.sweep.grouping import unfusable
from harness.modeling import builder
from harness.registry import instantiate


class Centroids:
    """Nearest-centroid classifier; its logits are the negative distances to the class means."""

    def __init__(self, outputs: int) -> None:
        self.outputs, self.fits = outputs, 0

    def fit(self, train: harness.Samples) -> None:
        self.fits += 1
        x = train.x.flatten(1)
        self.means = torch.stack([x[train.y == c].mean(0) for c in range(self.outputs)])

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        return -torch.cdist(x.flatten(1), self.means)


@pytest.fixture
def estimators_made(monkeypatch: pytest.MonkeyPatch, workdir: Path) -> list[Centroids]:
    """Replace the mlp by an estimator, and list the estimators that are made."""
    estimators: list[Centroids] = []
    component, trait = instantiate.component, instantiate.trait

    def make(kind: str, node: Any, **offers: Any) -> Any:
        if kind == "model":
            estimators.append(Centroids(offers["outputs"]))
            return estimators[-1]
        return component(kind, node, **offers)

    def log_row(kind: str, node: Any, name: str, default: Any) -> Any:
        return True if (kind, name) == ("model", "estimator") else trait(kind, node, name, default)

    monkeypatch.setattr(builder, "component", make)
    for module in ("modeling.builder", "execution.preparation", "modeling.weights", "execution.sweep.grouping"):
        monkeypatch.setattr(f"harness.{module}.trait", log_row)
    return estimators


def test_estimator_is_fitted_once_on_the_training_split(estimators_made: list[Centroids]) -> None:
    record = harness.run(["model=mlp"])
    assert record.status == "completed", record.error
    assert [one.fits for one in estimators_made].count(1) == 1
    assert record.time["epochs"] == 1
    assert record.model["parameters"] == 0
    dataset = prepare(compose(["model=mlp"])).dataset
    assert isinstance(dataset.train, harness.Samples)
    assert isinstance(dataset.test, harness.Samples)
    reference = NearestCentroid().fit(dataset.train.x.flatten(1), dataset.train.y)
    expected = (reference.predict(dataset.test.x.flatten(1)) == dataset.test.y.numpy()).mean()
    assert record.metrics["test/accuracy"] == pytest.approx(expected)


def test_estimator_is_not_stacked_and_keeps_no_weights(estimators_made: list[Centroids]) -> None:
    prepared = prepare(compose(["model=mlp"]))
    assert unfusable(prepared) == "model mlp is fitted as a whole"
    with pytest.raises(harness.HarnessError, match="is fitted at once and has no weights"):
        harness.load_model(harness.run(["model=mlp"]))
