"""Tests of the features' importance, on linear functions whose gradients are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.plugins.components.helpers import measured


def values_of(weights, deviations):
    """Measure a linear regression with these weights on features with these standard deviations."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(50, len(weights))) * deviations)
    x = (x - x.mean(0)) / x.std(0, correction=0) * torch.tensor(deviations, dtype=torch.float64)
    y = torch.tensor(rng.normal(size=50))
    params = {"w": torch.tensor(weights, dtype=torch.float64)}

    def loss(own, x=x, y=y, draw=0):
        return (x @ own["w"] - y).square().mean()

    return measured("feature_gradient", params=params, loss=loss, x=x, y=y)


@pytest.mark.parametrize(
    ("weights", "deviations", "importance"),
    [
        ([1.0, -1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1, 1, 1, 1]),
        ([1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1, 0, 0, 1]),
        ([1.0, 1.0, 1.0, 1.0], [100.0, 1.0, 1.0, 1.0], [100, 1, 1, 1]),
        ([0.01, 1.0, 1.0, 1.0], [100.0, 1.0, 1.0, 1.0], [1, 1, 1, 1]),
    ],
)
def test_importance_is_weight_times_deviation(weights, deviations, importance) -> None:
    values = values_of(weights, deviations)
    s = np.array(importance, dtype=float)
    assert values["effective"] == pytest.approx(s.sum() ** 2 / (s**2).sum(), rel=1e-9)
    assert values["evenness"] == pytest.approx(values["effective"] / 4, rel=1e-9)
    assert values["largest"] == pytest.approx(s.max() / s.sum(), rel=1e-9)


def test_tokens_have_no_gradient() -> None:
    x = torch.zeros(3, 1, dtype=torch.int64)
    assert measured("feature_gradient", params={}, loss=None, x=x, y=x) == {}
