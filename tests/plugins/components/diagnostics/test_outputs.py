"""Tests of measurements of outputs and predictions, against numpy, torchmetrics and cases made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from harness.modeling.diagnostic import Layer
from harness_components.diagnostics.outputs import histogram, rank_of
from tests.plugins.components.helpers import measured


def layer(output, role="activation", gradient=None):
    output = torch.as_tensor(output)
    return Layer(output, torch.zeros_like(output) if gradient is None else torch.as_tensor(gradient), role)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_effective_rank_is_numpys(rows, columns, seed):
    a = draw(rows, columns, seed=seed)
    sigma = np.linalg.svd(a, compute_uv=False)
    p = sigma / sigma.sum()
    expected = math.exp(-(p * np.log(p)).sum())
    assert float(rank_of(torch.tensor(a))) == pytest.approx(expected, rel=1e-6)
    assert float(rank_of(torch.tensor(a).float())) == pytest.approx(expected, rel=1e-3)


def test_effective_rank_of_proportional_samples_is_one():
    alike = np.outer(np.arange(1, 129), draw(64)).astype(np.float32)
    values = measured("effective_rank", layers={"a": layer(alike), "b": layer(np.eye(6)), "c": layer(alike, "weights")})
    assert values == {"a": pytest.approx(1, abs=1e-3), "b": pytest.approx(6)}
    assert math.isnan(measured("effective_rank", layers={"a": layer(alike * math.nan)})["a"])


def test_drift_is_in_deviations_of_the_start():
    first = draw(200, 3)
    now = first * [1, 2, 1] + [0, 0, 5]
    values = measured("drift", layers={"a": layer(now), "b": layer(first)},
                     start_layers={"a": torch.tensor(first), "b": torch.tensor(first)})  # fmt: skip
    moved = (now.mean(0) - first.mean(0)) ** 2 + (now.std(0) - first.std(0)) ** 2
    assert values == {"a": pytest.approx(math.sqrt(moved.sum() / (first.std(0) ** 2).sum())), "b": 0.0}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=40), st.integers(2, 12))
def test_histogram_is_numpys(values, bins):
    x = torch.tensor(values, dtype=torch.float64)
    result = histogram(x, bins)
    assert float(result.counts.sum()) == len(values)
    assert (float(result.edges[0]), float(result.edges[-1])) == pytest.approx((min(values), max(values)))
    inside = (x - x.min()) / max(max(values) - min(values), 1e-30) * bins
    if max(values) > min(values) and float((inside - inside.round()).abs().min()) > 0:  # no value is on an edge
        np.testing.assert_array_equal(result.counts, np.histogram(values, bins)[0])


def test_histogram_ignores_nonfinite_values():
    result = histogram(torch.tensor([0.0, 1.0, math.nan, math.inf, 1.0]), 2)
    assert result.counts.tolist() == [1, 2]
    assert result.edges.tolist() == [0, 0.5, 1]


def test_histograms_cover_weights_gradients_and_activations():
    params = {"a.weight": torch.ones(2, 2), "a.bias": torch.zeros(2)}
    values = measured("histograms", {"bins": 4}, params=params, grads=params, layers={"b": layer(draw(8, 2))})
    assert {tag: len(h.counts) for tag, h in values.items()} == {"weights/a": 4, "gradients/a": 4, "activations/b": 4}


def test_calibration_is_torchmetrics():
    logits, classes = torch.tensor(draw(300, 4) * 3), torch.tensor(np.arange(300) % 4)
    values = measured("calibration", {"bins": 7}, prediction=logits, target=classes)
    expected = multiclass_calibration_error(logits.softmax(-1), classes, 4, n_bins=7)
    assert values["error"] == pytest.approx(float(expected), rel=1e-5)
    best = logits.softmax(-1).max(-1)
    assert values["overconfidence"] == pytest.approx(
        float(best.values.mean() - (best.indices == classes).double().mean())
    )


@pytest.mark.parametrize(
    ("prediction", "target"),
    [(torch.zeros(5, 2), torch.zeros(5, 2)), (torch.zeros(5, 1), torch.zeros(5, 1)), ((torch.zeros(5),) * 2, None)],
)
def test_only_classifiers_are_calibrated(prediction, target):
    assert measured("calibration", prediction=prediction, target=target) == {}


def test_mode_gap_compares_training_and_evaluation():
    def loss(params, train=True):
        return params["w"].sum() * (1.0 if train else 4.0)

    assert measured("mode_gap", params={"w": torch.ones(2)}, loss=loss) == {"": 6.0, "train": 2.0, "eval": 8.0}
