"""Tests of noise and missing values in the inputs of chosen splits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from harness.config.seeds import generator
from harness.datasets.dataset import SPLITS
from tests.plugins.components.helpers import data, make


def corrupted(name, dataset, seed=0, **settings):
    return make("corruption", name, settings, dataset=dataset, generator=generator(seed, "corruption"))


@pytest.mark.parametrize("name", ["noisy_inputs", "missing_inputs"])
@pytest.mark.parametrize(("splits", "changed"), [("test", {"test"}), ("train", {"train"}), ("all", set(SPLITS))])
def test_chosen_splits_alone_are_corrupted(name, splits, changed):
    clean = data("wine")
    dirty = corrupted(name, clean, splits=splits)
    for split in SPLITS:
        before, after = clean.part(split), dirty.part(split)
        assert torch.equal(before.x, after.x) == (split not in changed)
        assert torch.equal(before.y, after.y)
    assert torch.equal(corrupted(name, clean, splits=splits).test.x, dirty.test.x)


def test_noise_has_the_deviation_of_each_feature_times_std():
    clean = data("breast_cancer")
    noise = (corrupted("noisy_inputs", clean, std=0.5, splits="train").train.x - clean.train.x).double().numpy()
    expected = 0.5 * clean.train.x.double().numpy().std(0)
    np.testing.assert_allclose(noise.std(0), expected, rtol=0.15, atol=1e-12)
    assert np.abs(noise.mean(0) / expected).max() < 0.25
    images = data("digits")  # one deviation for all pixels
    noise = (corrupted("noisy_inputs", images, std=2.0).test.x - images.test.x).double().numpy()
    assert noise.std() == pytest.approx(2 * images.train.x.double().numpy().std(), rel=0.02)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_missing_values_get_the_mean_of_their_feature_in_training(share):
    clean = data("digits")
    dirty = corrupted("missing_inputs", clean, share=share)
    mean = clean.train.x.double().mean(0).to(clean.test.x.dtype).expand_as(clean.test.x)
    kept = dirty.test.x == clean.test.x
    assert torch.equal(dirty.test.x[~kept], mean[~kept])
    differing = (clean.test.x != mean).double().mean()
    assert float((~kept).double().mean()) == pytest.approx(share * float(differing), abs=0.01)
