"""Tests of principal components against scikit-learn's, and as the bound of linear autoencoders."""

import pytest
import torch
from sklearn.decomposition import PCA

import harness
from harness.config.composition import compose
from harness.datasets.dataset import Samples
from harness.execution.preparation import prepare
from tests.plugins.components.helpers import make


@pytest.mark.parametrize("code", [1, 7])
def test_pca_is_scikit_learns(code):
    x = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 13).view(3, 4) + 5
    model = make("model", "pca", {"code": code})
    model.fit(Samples(x[:40], torch.zeros(40)))
    reference = PCA(code).fit(x[:40].flatten(1).double())
    expected = reference.inverse_transform(reference.transform(x[40:].flatten(1).double()))
    assert model.predict(x[40:]).flatten(1).numpy() == pytest.approx(expected)


def test_pca_run_matches_scikit_learn(workdir):
    line = ["model=pca", "model.code=8"]
    record = harness.run(line)
    assert record.choices["task"] == "reconstruction"
    dataset = prepare(compose(line)).dataset
    train, test = (part.x.flatten(1).double().numpy() for part in (dataset.train, dataset.test))
    reference = PCA(8).fit(train)
    error = test - reference.inverse_transform(reference.transform(test))
    assert record.metrics["test/mse"] == pytest.approx(float((error**2).mean()), rel=1e-5)


def test_code_as_wide_as_the_data_is_lossless():
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    model = make("model", "pca", {"code": 9})
    model.fit(Samples(x, torch.zeros(20)))
    torch.testing.assert_close(model.predict(x), x.double())
