"""Tests of scaled real targets: learned in units of each run's own deviation, predicted in their own units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F

import harness
from harness.datasets.dataset import Samples
from harness.modeling.estimator import EstimatorModule
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.target_scaling import Scaled, ScaledEstimatorModule, scaled, scaled_for
from tests.plugins.components.helpers import data, make
from tests.training.helpers import on_disk

NOISE = Noise(keys(torch.tensor(0), 0))
X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = torch.cat([X[:, :2] * torch.tensor([1e3, 1e-3]) + 0.1, torch.full((40, 1), 0.1)], 1)
LINE = ["data=diabetes", "model.width=8", "model=mlp", "executor=in_process"]


def test_standardize_matches_scikit_learn_and_only_centres_constants() -> None:
    model = scaled(nn.Linear(4, 3), lambda: Y.split(7))
    assert isinstance(model, Scaled)
    z = model.standardize(Y)
    np.testing.assert_allclose(z[:, :2].numpy(), StandardScaler().fit_transform(Y[:, :2].double()), atol=2e-4)
    assert torch.equal(z[:, 2], torch.zeros(40))
    torch.testing.assert_close(model.restore(z), Y.double(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.standardize(model(X)), model.standardized(X).double(), rtol=1e-9, atol=1e-9)


def test_loss_is_standardized_and_prediction_is_in_target_units() -> None:
    dataset = harness.Dataset(Samples(X, Y), Samples(X, Y), Samples(X, Y), target="real")
    task = make("task", "regression", loss=F.mse_loss, dataset=dataset)
    model = task.prepare(nn.Linear(4, 3), dataset)

    def call(*x: torch.Tensor, method: str = "forward") -> torch.Tensor:
        return getattr(model, method)(*x)

    loss = task.losses(call, (X, Y), NOISE)["model"]
    torch.testing.assert_close(loss, F.mse_loss(model.standardized(X), model.standardize(Y).float()))
    measured, (prediction, target) = task.evaluate(call, (X, Y), NOISE)
    assert torch.equal(measured["model"], loss)
    assert torch.equal(prediction, model(X))
    assert torch.equal(target, Y.double())


def test_data_not_in_memory_or_unstandardized_is_not_scaled() -> None:
    dataset = data("diabetes")
    model = nn.Linear(10, 1)
    for settings, source in (({}, on_disk(dataset)), ({"standardize": False}, dataset)):
        task = make("task", "regression", settings, loss=F.mse_loss, dataset=source)
        assert task.prepare(model, source) is model
        x, y = torch.ones(5, 10), torch.zeros(5, 1)
        torch.testing.assert_close(task.losses(model, (x, y), NOISE)["model"], F.mse_loss(model(x), y))


def test_estimator_is_scaled_as_a_network() -> None:
    class Constant:
        def fit(self, train: Samples) -> None: ...

        def predict(self, x: torch.Tensor) -> torch.Tensor:
            return Y[: len(x)]

    model = scaled(EstimatorModule(Constant()), lambda: Y.split(7))
    assert isinstance(model, ScaledEstimatorModule)
    assert torch.equal(model(X), Y)
    assert torch.equal(model.standardized(X), model.standardize(Y).float())


def test_saved_state_restores_the_scale() -> None:
    plain = nn.Linear(4, 3)
    assert scaled_for(plain.state_dict(), plain) is plain
    first = scaled(nn.Linear(4, 3), lambda: Y.split(7))
    again = scaled_for(first.state_dict(), plain)
    again.load_state_dict(first.state_dict())
    assert torch.equal(again(X), first(X))


def test_members_of_different_splits_have_their_own_scales(workdir: Path) -> None:
    line = [*LINE, "epochs=3", "split.seed=${seed}", "seed=0,1,2"]
    fused = harness.sweep([*line, "path=fused", "study=fused"])
    alone = harness.sweep([*line, "path=alone", "study=alone"])
    assert [record.cohort["size"] for record in fused] == [3] * 3
    means = set()
    for one, other in zip(fused, alone, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-4)
        dataset = data("diabetes", seed=one.config["seed"])
        assert isinstance(dataset.train, Samples)
        assert isinstance(dataset.test, Samples)
        models = [harness.load_model(record) for record in (one, other)]
        for model in models:
            assert isinstance(model, Scaled)
            np.testing.assert_allclose(model.target_mean, dataset.train.y.mean(0), rtol=1e-5, atol=1e-4)
        means.add(float(dataset.train.y.mean()))
        scaler = StandardScaler().fit(dataset.train.x)
        x = torch.as_tensor(scaler.transform(dataset.test.x), dtype=torch.float32)
        error = F.mse_loss(models[0](x), dataset.test.y).item()
        assert one.metrics["test/mse"] == pytest.approx(error, rel=1e-3)
        deviation = dataset.train.y.double().var(correction=0).item()
        assert one.metrics["test/loss"] == pytest.approx(one.metrics["test/mse"] / deviation, rel=1e-3)
    assert len(means) == 3


def test_network_learns_large_targets_as_fast_as_small_ones(workdir: Path) -> None:
    learned = [
        harness.run([*LINE, "task=regression", f"task.standardize={on}", "epochs=15", "optimizer.lr=0.01"])
        for on in (True, False)
    ]
    assert learned[0].metrics["test/mse"] < 4000 < learned[1].metrics["test/mse"]
