import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from harness.datasets.dataset import SPLITS
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data, make
from tests.training.helpers import cohort


def sequences(dataset):
    """Return [N, T, C] sequences and classes of all splits."""
    parts = [dataset.part(split) for split in SPLITS]
    return np.concatenate([p.x.numpy() for p in parts]), np.concatenate([p.y.numpy() for p in parts])


def tokens(x):
    """Return the tokens of one-hot sequences."""
    np.testing.assert_array_equal(x.sum(-1), 1)
    np.testing.assert_array_equal(np.unique(x), [0, 1])
    return x.argmax(-1)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(length=st.integers(2, 30), vocabulary=st.integers(3, 9), seed=st.integers(0, 50))
def test_order_class_is_the_first_marker(length, vocabulary, seed):
    x, y = sequences(data("order", {"n": 20, "length": length, "vocabulary": vocabulary}, seed=seed))
    assert x.shape == (20, length, vocabulary)
    for row, label in zip(tokens(x).tolist(), y, strict=True):
        assert row.count(0) == row.count(1) == 1
        assert label == int(row.index(1) < row.index(0))


def test_bag_of_words_cannot_classify_order():
    x, y = sequences(data("order", {"n": 2000}))
    half = len(x) // 2
    assert LogisticRegression().fit(x.sum(1)[:half], y[:half]).score(x.sum(1)[half:], y[half:]) < 0.56
    places = (x[:, :, :2] * np.arange(20)[:, None]).sum(1)
    assert LogisticRegression().fit(places, y).score(places, y) > 0.98


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.data(), st.integers(2, 30), st.integers(2, 6))
def test_delay_class_is_the_token_some_steps_back(draw, length, vocabulary):
    steps = draw.draw(st.integers(0, length - 1))
    options = {"n": 20, "length": length, "vocabulary": vocabulary, "steps": steps}
    x, y = sequences(data("delay", options))
    assert tokens(x)[:, ::-1][:, steps].tolist() == y.tolist()


def test_delay_tokens_are_uniform_at_every_step():
    x, _ = sequences(data("delay", {"n": 4000}))
    assert abs(x.mean(0) - 0.25).max() < 0.03


@settings(deadline=None, max_examples=40, derandomize=True)
@given(length=st.integers(1, 20), seed=st.integers(0, 50))
def test_parity_class_is_the_parity_of_minus_signs(length, seed):
    x, y = sequences(data("parity", {"n": 20, "length": length, "noise": 0.0}, seed=seed))
    assert x.shape == (20, length, 1)
    np.testing.assert_array_equal(abs(x), 1)
    np.testing.assert_array_equal((x < 0).sum((1, 2)) % 2, y)


def test_single_step_does_not_predict_parity():
    x, y = sequences(data("parity", {"n": 6000, "length": 6, "noise": 0.2}))
    assert abs(x.mean(0)).max() < 0.05
    assert max(abs(np.corrcoef(x[:, t, 0], y)[0, 1]) for t in range(6)) < 0.05
    assert abs((x - np.sign(x)).std() - 0.2) < 0.01


@settings(deadline=None, max_examples=40, derandomize=True)
@given(length=st.integers(1, 24), seed=st.integers(0, 50))
def test_majority_class_is_the_more_frequent_sign(length, seed):
    x, y = sequences(data("majority", {"n": 20, "length": length, "noise": 0.0}, seed=seed))
    np.testing.assert_array_equal(abs(x), 1)
    total = x.sum((1, 2))
    assert (total != 0).all()
    np.testing.assert_array_equal(total < 0, y)


@pytest.mark.parametrize("name", ["order", "delay", "parity", "majority"])
def test_sequences_for_testing_may_be_longer(name):
    same, longer = data(name, {"length": 13}), data(name, {"length": 13, "test_length": 31})
    assert same.test.x.shape[1] == 13
    assert longer.test.x.shape == (len(same.test), 31, same.inputs[1])
    assert longer.test.x.dtype == same.test.x.dtype
    assert longer.test.y.dtype == same.test.y.dtype
    assert longer.train.x.equal(same.train.x)
    assert abs(np.bincount(longer.test.y) - len(same.test) / len(same.classes)).max() <= 1
    if name == "majority":
        np.testing.assert_array_equal(longer.test.x.sign().sum((1, 2)) < 0, longer.test.y == 1)


def test_sequences_of_two_lengths_are_scaled_alike():
    dataset = data("delay", {"length": 13, "test_length": 31})
    transform = make("transform", "standardize", train=dataset.train.x)
    train, test = transform(dataset.train.x).double().numpy(), transform(dataset.test.x).double().numpy()
    np.testing.assert_allclose(train.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(train.std((0, 1)), 1, atol=1e-5)
    np.testing.assert_allclose(test.std((0, 1)), 1, atol=0.1)


def test_recurrent_network_trains_on_one_length_and_tests_on_another():
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRU(1, 8, batch_first=True), nn.Linear(8, 2)

        def forward(self, x):
            return self.head(self.cell(x)[0][:, -1])

    def change(parts):
        with torch.random.fork_rng():
            torch.manual_seed(parts.values["seed"])
            parts.model = Recurrent()

    line = ["data=majority", "data.length=5", "data.test_length=9", "epochs=3", "optimizer.lr=0.05"]
    for run in cohort([[*line, f"seed={seed}"] for seed in (1, 2)], change=change):
        assert run.state.metrics["test/accuracy"] > 0.8


def test_sequence_too_short_is_refused():
    with pytest.raises(HarnessError, match=r"data\.length=5 is too short: delay needs 8 steps or more"):
        data("delay", {"length": 5, "steps": 7})
    with pytest.raises(HarnessError, match=r"data\.test_length=1 is too short"):
        data("order", {"length": 5, "test_length": 1})
