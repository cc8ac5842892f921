import numpy as np
import pytest
import sklearn.preprocessing
import torch

from tests.components.helpers import make

G = torch.Generator().manual_seed(0)
TABLE = torch.randn(50, 6, generator=G) * torch.tensor([1e-3, 1, 5, 1e3, 1, 1]) + torch.tensor([0, 3, -7, 1e4, 0, 2])
LATER = torch.randn(20, 6, generator=G) * 3
IMAGES = torch.rand(30, 3, 5, 4, generator=G) * torch.tensor([1.0, 10.0, 100.0])[:, None, None]
SCALERS = {"standardize": sklearn.preprocessing.StandardScaler, "min_max": sklearn.preprocessing.MinMaxScaler}


@pytest.mark.parametrize("per", ["auto", "feature", "channel"])
@pytest.mark.parametrize("name", SCALERS)
def test_vectors_are_scaled_as_scikit_learn_does_by_the_training_split_alone(name, per):
    transform, scaler = make("transform", name, {"per": per}, train=TABLE), SCALERS[name]().fit(TABLE.double().numpy())
    for x in (TABLE, LATER):
        expected = scaler.transform(x.double().numpy())
        np.testing.assert_allclose(transform(x).numpy(), expected, rtol=2e-4, atol=1e-4)
    assert transform(TABLE).dtype == torch.float32


@pytest.mark.parametrize("name", SCALERS)
def test_images_are_scaled_by_channel_or_by_pixel(name):
    def expected(rows):
        return SCALERS[name]().fit_transform(rows.double().numpy())

    by_channel = expected(IMAGES.movedim(1, -1).reshape(-1, 3)).reshape(30, 5, 4, 3)
    by_pixel = expected(IMAGES.flatten(1)).reshape(IMAGES.shape)
    for per, wanted in (("auto", np.moveaxis(by_channel, -1, 1)), ("feature", by_pixel)):
        found = make("transform", name, {"per": per}, train=IMAGES)(IMAGES)
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.3, -1e-6, 1e-20])
@pytest.mark.parametrize("name", SCALERS)
def test_what_does_not_vary_becomes_zero_and_is_not_blown_up(name, value):
    train = torch.full((1001, 2), value)
    transform = make("transform", name, train=train)
    assert torch.equal(transform(train), torch.zeros(1001, 2))
    np.testing.assert_allclose(transform(train + 1).numpy(), (train + 1 - train).numpy(), atol=1e-6)


@pytest.mark.parametrize("name", SCALERS)
def test_what_varies_little_is_scaled_all_the_same(name):
    train = torch.randn(100, 1, generator=torch.Generator().manual_seed(1)) * 1e-15
    found = make("transform", name, train=train)(train)
    np.testing.assert_allclose(
        found, SCALERS[name]().fit_transform(train.double().numpy() * 1e15), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", SCALERS)
def test_a_transform_takes_one_sample_and_leaves_its_input(name):
    transform, x = make("transform", name, train=TABLE), TABLE[:1].clone()
    assert torch.equal(transform(x)[0], transform(TABLE)[0])
    assert torch.equal(x, TABLE[:1])
