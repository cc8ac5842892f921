import numpy as np
import pytest
import scipy.linalg
import sklearn.decomposition
import sklearn.preprocessing
import torch

from harness.config.schema import default_node
from harness.datasets.dataset import Dataset, Samples
from harness.datasets.loading import _transformed
from harness.registry import catalogue
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import make

G = torch.Generator().manual_seed(0)
TABLE = torch.randn(50, 6, generator=G) * torch.tensor([1e-3, 1, 5, 1e3, 1, 1]) + torch.tensor([0, 3, -7, 1e4, 0, 2])
LATER = torch.randn(20, 6, generator=G) * 3
IMAGES = torch.rand(30, 3, 5, 4, generator=G) * torch.tensor([1.0, 10.0, 100.0])[:, None, None]
SCALERS = {"standardize": sklearn.preprocessing.StandardScaler, "min_max": sklearn.preprocessing.MinMaxScaler}


@pytest.mark.parametrize("per", ["auto", "feature", "channel"])
@pytest.mark.parametrize("name", SCALERS)
def test_vectors_are_scaled_as_by_scikit_learn_from_the_training_split(name, per):
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
        result = make("transform", name, {"per": per}, train=IMAGES)(IMAGES)
        np.testing.assert_allclose(result.numpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.3, -1e-6, 1e-20])
@pytest.mark.parametrize("name", SCALERS)
def test_constant_feature_becomes_zero(name, value):
    train = torch.full((1001, 2), value)
    transform = make("transform", name, train=train)
    assert torch.equal(transform(train), torch.zeros(1001, 2))
    np.testing.assert_allclose(transform(train + 1).numpy(), (train + 1 - train).numpy(), atol=1e-6)


@pytest.mark.parametrize("name", SCALERS)
def test_feature_with_small_variance_is_scaled(name):
    train = torch.randn(100, 1, generator=torch.Generator().manual_seed(1)) * 1e-15
    result = make("transform", name, train=train)(train)
    np.testing.assert_allclose(
        result, SCALERS[name]().fit_transform(train.double().numpy() * 1e15), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", SCALERS)
def test_transform_accepts_one_sample_and_keeps_its_input(name):
    transform, x = make("transform", name, train=TABLE), TABLE[:1].clone()
    assert torch.equal(transform(x)[0], transform(TABLE)[0])
    assert torch.equal(x, TABLE[:1])


@pytest.mark.parametrize("per", ["auto", "feature"])
def test_robust_is_scikit_learns(per):
    outliers = TABLE.clone()
    outliers[:5] *= 1e6
    scaler = sklearn.preprocessing.RobustScaler().fit(outliers.double().numpy())
    transform = make("transform", "robust", {"per": per}, train=outliers)
    for x in (outliers, LATER):
        np.testing.assert_allclose(transform(x).numpy(), scaler.transform(x.double().numpy()), rtol=2e-4, atol=1e-4)


def test_robust_scales_channels_and_keeps_features_without_spread():
    flat = IMAGES.movedim(1, -1).reshape(-1, 3).double().numpy()
    expected = sklearn.preprocessing.RobustScaler().fit_transform(flat).reshape(30, 5, 4, 3)
    result = make("transform", "robust", train=IMAGES)(IMAGES)
    np.testing.assert_allclose(result.numpy(), np.moveaxis(expected, -1, 1), atol=1e-5)
    mostly = torch.zeros(100, 1)
    mostly[:10] = 3.0
    assert torch.equal(make("transform", "robust", train=mostly)(mostly), mostly)


def test_sequences_are_scaled_by_feature_over_all_steps():
    train = torch.randn(40, 7, 3, generator=torch.Generator().manual_seed(3)) * torch.tensor([1.0, 20.0, 300.0]) + 5
    for name, scaler in SCALERS.items():
        expected = scaler().fit_transform(train.reshape(-1, 3).double().numpy()).reshape(40, 7, 3)
        transform = make("transform", name, train=train)
        np.testing.assert_allclose(transform(train).numpy(), expected, atol=1e-5)
        assert transform(torch.zeros(2, 11, 3)).shape == (2, 11, 3)


MIXED = TABLE[:, :4] / TABLE[:, :4].std(0) @ torch.randn(4, 4, generator=torch.Generator().manual_seed(2)) + 3


@pytest.mark.parametrize("method", ["pca", "zca"])
def test_whitened_data_has_unit_covariance(method):
    result = make("transform", "whiten", {"method": method, "epsilon": 1e-8}, train=MIXED)(MIXED).double().numpy()
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(result.T, bias=True), np.eye(4), atol=1e-4)


def test_whiten_is_scikit_learns_pca_and_the_inverse_root_for_zca():
    x = MIXED.double().numpy()
    pca = sklearn.decomposition.PCA(whiten=True).fit(x)
    scale = np.sqrt(len(x) / (len(x) - 1))  # scikit-learn uses the unbiased variance
    later = LATER[:, :4]
    result = make("transform", "whiten", {"method": "pca", "epsilon": 1e-12}, train=MIXED)(later).numpy()
    np.testing.assert_allclose(abs(result), abs(pca.transform(later.double().numpy())) * scale, rtol=1e-3, atol=1e-3)
    root = scipy.linalg.inv(scipy.linalg.sqrtm(np.cov(x.T, bias=True)))
    result = make("transform", "whiten", {"method": "zca", "epsilon": 1e-12}, train=MIXED)(later).numpy()
    np.testing.assert_allclose(result, (later.double().numpy() - x.mean(0)) @ root, rtol=1e-3, atol=1e-3)


def test_whiten_does_not_amplify_constant_directions():
    train = torch.cat([MIXED, MIXED.sum(1, keepdim=True), torch.full((50, 1), 7.0)], dim=1)  # rank 4 of 6
    transform = make("transform", "whiten", {"epsilon": 1e-8}, train=train)
    whitened = transform(train).double().numpy()
    values = np.linalg.eigvalsh(np.cov(whitened.T, bias=True))
    np.testing.assert_allclose(values, [0, 0, 1, 1, 1, 1], atol=1e-3)
    moved = train.clone()
    moved[:, 5] += 100
    np.testing.assert_allclose(transform(moved).numpy(), whitened, atol=1e-2)


def test_whitened_images_keep_their_shape():
    result = make("transform", "whiten", {"epsilon": 0.1}, train=IMAGES)(IMAGES)
    assert result.shape == IMAGES.shape
    with pytest.raises(HarnessError, match="takes at most 8192 features, got 9000"):
        make("transform", "whiten", train=torch.zeros(2, 9000))


def test_one_hot_is_scikit_learns():
    rng = np.random.default_rng(0)
    train, later = rng.integers(0, 5, (60, 3)) * 2.0, rng.integers(0, 8, (40, 3)) * 1.0
    encoder = sklearn.preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train)
    transform = make("transform", "one_hot", train=torch.tensor(train, dtype=torch.float32))
    for x in (train, later):
        np.testing.assert_array_equal(transform(torch.tensor(x, dtype=torch.float32)), encoder.transform(x))


def test_one_hot_keeps_other_features_in_place():
    train = torch.tensor([[0.5, 1, 30], [0.1, 3, 2], [7.0, 1, 4]])
    expected = [[0.5, 1, 0, 0, 0, 1], [0.1, 0, 1, 1, 0, 0], [7, 1, 0, 0, 1, 0]]
    np.testing.assert_allclose(make("transform", "one_hot", train=train)(train), expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        make("transform", "one_hot", {"few": 2}, train=train)(train),
        [[0.5, 1, 0, 30], [0.1, 0, 1, 2], [7, 1, 0, 4]],
        rtol=1e-6,
        atol=1e-7,
    )
    chosen = make("transform", "one_hot", {"columns": [0]}, train=train)(train)
    assert chosen.tolist() == [[0, 1, 0, 1, 30], [1, 0, 0, 3, 2], [0, 0, 1, 1, 4]]
    with pytest.raises(HarnessError, match=r"columns=\[3\], and there are 3 features"):
        make("transform", "one_hot", {"columns": [3]}, train=train)
    with pytest.raises(HarnessError, match="encodes the features of vectors"):
        make("transform", "one_hot", train=IMAGES)


def test_flatten_makes_vectors():
    assert torch.equal(make("transform", "flatten", train=IMAGES)(IMAGES), IMAGES.reshape(30, -1))


@pytest.mark.parametrize("shape", [(5, 4, 3), (5,), (6, 5, 4, 1)])
def test_channels_first_moves_the_last_axis(shape):
    x = torch.arange(4 * np.prod(shape)).reshape(4, *shape)
    moved = make("transform", "channels_first", train=x)(x)
    assert moved.is_contiguous()
    assert np.array_equal(moved.numpy(), np.moveaxis(x.numpy(), -1, 1))


def test_channels_first_refuses_sequences():
    with pytest.raises(HarnessError, match=r"moves the channels of images .*, and samples here have shape \[7, 3\]"):
        make("transform", "channels_first", train=IMAGES)(torch.zeros(4, 7, 3))


@pytest.mark.parametrize("name", [row["name"] for row in catalogue.current() if row["kind"] == "transform"])
def test_transform_is_fitted_on_the_training_split_only(name):
    """Validation and test samples do not change the fit, and are transformed by it."""
    train, rest = Samples(MIXED.round(), torch.zeros(50, 1)), Samples(LATER[:, :4], torch.zeros(20, 1))
    far = Samples(rest.x * 1e4 - 77, rest.y)

    def become(other):
        nodes = {name: default_node(catalogue.current(), "transform", name)}
        return _transformed(Dataset(train, other, other, target="real"), nodes)

    near, moved = become(rest), become(far)
    assert torch.equal(near.train.x, moved.train.x)
    transform = make("transform", name, train=train.x)
    assert torch.equal(moved.test.x, transform(far.x))
    assert torch.equal(moved.val.x, transform(far.x))
