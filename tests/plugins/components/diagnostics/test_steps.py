"""Tests of measurements of a step's weights and gradients, against numpy and cases made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cosine

from harness.system.errors import HarnessError
from tests.plugins.components.helpers import measured


def named(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = {"a.weight": (3, 4), "a.bias": (3,), "b.c.weight": (2, 3, 2, 2)}
    return {name: torch.tensor(rng.normal(size=shape) * scale) for name, shape in shapes.items()}


def flat(*tensors):
    return np.concatenate([t.numpy().ravel() for t in tensors])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(1e-6, 1e6))
def test_norms_are_numpys(seed, scale):
    grads = named(seed, scale)
    values = measured("gradient_norm", grads=grads)
    assert values["all"] == pytest.approx(np.linalg.norm(flat(*grads.values())))
    assert values["a"] == pytest.approx(np.linalg.norm(flat(grads["a.weight"], grads["a.bias"])))
    assert values.keys() == {"all", "a", "b.c"}
    before, start = named(seed + 1), named(seed + 2)
    ratio = measured("update_ratio", params=grads, previous=before)
    norm = np.linalg.norm(before["a.weight"])
    assert ratio["a"] == pytest.approx(np.linalg.norm(grads["a.weight"] - before["a.weight"]) / norm)
    moved = measured("weights", params=grads, start=start)
    assert moved["b.c/norm"] == pytest.approx(np.linalg.norm(grads["b.c.weight"].flatten()))
    assert moved["a/moved"] == pytest.approx(
        np.linalg.norm(grads["a.weight"] - start["a.weight"]) / np.linalg.norm(start["a.weight"])
    )
    assert moved.keys() == {"a/norm", "a/moved", "b.c/norm", "b.c/moved"}  # no bias


def test_unit_asymmetry_is_zero_for_equal_units():
    row = torch.tensor([1.0, -2.0, 3.0])
    alike = {"a.weight": row.repeat(4, 1), "b.weight": torch.stack([row, -row]), "one.weight": row[None]}
    values = measured("unit_asymmetry", params=alike)
    assert values == {"a": pytest.approx(0, abs=1e-6), "b": pytest.approx(1)}
    assert measured("unit_asymmetry", params={"zero.weight": torch.zeros(3, 2)}) == {"zero": 0.0}


def test_unreached_counts_parameters_without_gradient():
    params = named(0)
    assert measured("unreached", params=params, grads=params) == {"": 0.0}
    assert measured("unreached", params=params, grads={"a.bias": params["a.bias"]}) == {"": 2.0}
    assert measured("gradient_norm", grads={}) == {}


def test_train_val_gap_is_that_of_the_last_epoch():
    rows = [{"train/loss": 1.0, "val/loss": 9.0}, {"train/loss": 0.25, "val/loss": 0.75}]
    assert measured("train_val_gap", history=rows) == {"": 0.5}
    assert measured("train_val_gap", history=[{"train/loss": 1.0}]) == {}
    assert math.isnan(measured("train_val_gap", history=[{"train/loss": math.nan, "val/loss": 1.0}])[""])


def test_zeros_counts_weights_gradients_and_what_a_step_leaves():
    weights = {"a.weight": torch.tensor([[0.0, 1.0], [2.0, 0.0]]), "b.weight": torch.ones(1, 4)}
    weights["a.bias"] = torch.zeros(2)
    before = {name: t.clone() for name, t in weights.items()}
    before["b.weight"][0, 0] = 9.0
    grads = {"a.weight": torch.tensor([[0.0, 0.0], [0.0, 1.0]]), "b.weight": torch.ones(1, 4)}
    assert measured("zeros", params=weights, previous=before, grads=grads) == {
        "weights": pytest.approx(2 / 8), "a/weights": 0.5, "b/weights": 0.0,
        "gradients": pytest.approx(3 / 8), "a/gradients": 0.75, "b/gradients": 0.0,
        "unchanged": pytest.approx(7 / 8), "a/unchanged": 1.0, "b/unchanged": 0.75,
    }  # fmt: skip
    assert "gradients" not in measured("zeros", params=weights, previous=before, grads={})


def test_filter_match_is_the_largest_cosine_of_the_first_layer():
    rng = np.random.default_rng(0)
    kernels, pattern = rng.normal(size=(5, 2, 3, 3)), rng.normal(size=18)
    params = {"first.weight": torch.tensor(kernels), "second.weight": torch.tensor(rng.normal(size=(4, 5)))}
    expected = max(abs(1 - cosine(kernel.ravel(), pattern)) for kernel in kernels)
    value = measured("filter_match", {"pattern": tuple(pattern.tolist())}, params=params)[""]
    assert value == pytest.approx(expected, rel=1e-9)
    params["first.weight"][3] = torch.tensor(-2 * pattern.reshape(2, 3, 3))
    assert measured("filter_match", {"pattern": tuple(pattern.tolist())}, params=params)[""] == pytest.approx(1)
    with pytest.raises(HarnessError, match="pattern has 9 numbers, and a unit of the first layer has 18 weights"):
        measured("filter_match", {"pattern": (1.0,) * 9}, params=params)
    assert measured("filter_match", params=params) == {}
