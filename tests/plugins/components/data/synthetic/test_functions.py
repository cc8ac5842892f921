import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import HuberRegressor, Lasso, LinearRegression

from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data, make, whole


@pytest.mark.parametrize("k", [1, 2, 5])
def test_composed_tent_map_is_a_sawtooth(k):
    x, y = whole(data("tent", {"n": 2000, "compositions": k}))
    saw = (scipy.signal.sawtooth(2 * np.pi * 2 ** (k - 1) * x[:, 0], 0.5) + 1) / 2
    np.testing.assert_allclose(y[:, 0], saw, atol=1e-4)
    assert scipy.stats.kstest(x[:, 0], "uniform").pvalue > 0.01
    ordered = y[np.argsort(x[:, 0]), 0]
    assert (np.diff(np.sign(np.diff(ordered))) < 0).sum() == 2 ** (k - 1)  # peaks


@pytest.mark.parametrize("features", [1, 3, 20])
def test_radial_function_depends_on_a_uniform_norm(features):
    x, y = whole(data("radial", {"n": 1000, "features": features, "frequency": 3.0}))
    norm = np.linalg.norm(x, axis=1)
    assert x.shape == (1000, features)
    np.testing.assert_allclose(y[:, 0], np.cos(3 * np.pi * norm), atol=1e-5)
    assert scipy.stats.kstest(norm, "uniform").pvalue > 0.01
    assert abs(x.mean(0)).max() < 0.06


def test_compositional_function_is_its_binary_tree():
    x, y = whole(data("compositional", {"n": 300, "levels": 2}))

    def h(a, b):
        return np.cos(np.pi * (a + 2 * b) / 2)

    a, b, c, d = x.T
    np.testing.assert_allclose(y[:, 0], h(h(a, b), h(c, d)), atol=1e-5)
    assert data("compositional", {"levels": 4}).inputs == (16,)
    assert abs(y).max() <= 1
    assert y.std() > 0.5  # it does not vanish with depth


@pytest.mark.parametrize(("name", "settings"), [("tent", {}), ("radial", {}), ("compositional", {}),
                                                ("sparse_regression", {})])  # fmt: skip
def test_target_noise_has_its_deviation(name, settings):
    noisy, clean = (whole(data(name, settings | {"n": 4000, "noise": noise})) for noise in (0.3, 0.0))
    np.testing.assert_array_equal(noisy[0], clean[0])
    off = (noisy[1] - clean[1])[:, 0]
    assert scipy.stats.kstest(off / 0.3, "norm").pvalue > 0.01


def test_line_has_outliers_in_training_and_none_in_test():
    settings = {"n": 1000, "slope": -3.0, "intercept": 0.5, "noise": 0.1, "outliers": 0.2, "distance": 10.0}
    dataset = data("line", settings)
    for split, share in (("train", 0.2), ("val", 0.2), ("test", 0.0)):
        part = dataset.part(split)
        off = part.y - (-3 * part.x + 0.5)
        assert (off > 5).sum() == round(share * len(part))
        assert abs(off[off < 5].std() - 0.1) < 0.02
    x, y = dataset.train.x.numpy(), dataset.train.y.numpy()[:, 0]
    robust, squared = HuberRegressor(max_iter=1000).fit(x, y), LinearRegression().fit(x, y)
    assert abs(robust.intercept_ - 0.5) < 0.1
    assert abs(squared.intercept_ - 2.5) < 0.3  # pulled up by a fifth of the distance


def test_only_informative_inputs_matter():
    x, y = whole(data("sparse_regression", {"n": 2000, "features": 30, "informative": 4, "noise": 0.0}))
    weights = LinearRegression().fit(x, y[:, 0]).coef_
    np.testing.assert_allclose(weights, [1, -1, 1, -1] + [0] * 26, atol=1e-5)
    assert np.flatnonzero(Lasso(0.1).fit(x, y[:, 0]).coef_).tolist() == [0, 1, 2, 3]
    with pytest.raises(HarnessError, match=r"data\.informative=5 must be at most data\.features=4"):
        data("sparse_regression", {"features": 4, "informative": 5})


@pytest.mark.parametrize("scale", ["nominal", "ordinal"])
def test_codes_fit_ordinal_categories_and_indicators_fit_both(scale):
    dataset = data("categories", {"n": 4000, "scale": scale, "noise": 0.1}, seed=1)
    x, y = whole(dataset)
    assert np.bincount(x[:, 0].astype(int)).tolist() == [500] * 8
    encoded = make("transform", "one_hot", train=dataset.train.x)(torch.tensor(x)).numpy()
    assert encoded.shape == (4000, 9)
    by_indicator = LinearRegression().fit(encoded, y[:, 0])
    effects = by_indicator.coef_[:8] - by_indicator.coef_[:8].mean()
    expected = np.linspace(-1, 1, 8)
    np.testing.assert_allclose(effects if scale == "ordinal" else np.sort(effects), expected, atol=0.03)
    assert by_indicator.score(encoded, y[:, 0]) > 0.98
    by_code = LinearRegression().fit(x, y[:, 0]).score(x, y[:, 0])
    assert by_code > 0.98 if scale == "ordinal" else by_code < 0.8


@pytest.mark.parametrize(("curved", "rank"), [(False, 3), (True, 6)])
def test_manifold_has_its_rank_and_is_recovered_from_its_coordinates(curved, rank):
    settings = {"n": 500, "dimensions": 3, "features": 10, "curved": curved, "noise": 0.0}
    x, u = whole(data("manifold", settings))
    assert u.shape == (500, 3)
    assert abs(u).max() <= 1
    share = PCA().fit(x).explained_variance_ratio_
    assert (share > 1e-8).sum() == rank
    z = np.column_stack([u, np.sin(np.pi * u)]) if curved else u
    q, *_ = np.linalg.lstsq(z, x, rcond=None)
    np.testing.assert_allclose(z @ q, x, atol=1e-5)
    np.testing.assert_allclose(q @ q.T, np.eye(rank), atol=1e-4)  # lengths are kept
    with pytest.raises(HarnessError, match=r"needs data\.features"):
        data("manifold", settings | {"features": rank - 1})


def test_swiss_roll_is_recovered_from_its_angle_and_height():
    x, y = whole(data("swiss_roll", {"n": 500}))
    t, h = y.T
    np.testing.assert_allclose(x, np.column_stack([t * np.cos(t), h, t * np.sin(t)]), atol=1e-4)
    assert 1.5 * np.pi <= t.min() < t.max() <= 4.5 * np.pi
    noisy, same = whole(data("swiss_roll", {"n": 500, "noise": 0.5}))
    np.testing.assert_array_equal(y, same)
    assert abs((noisy - x).std() - 0.5) < 0.03


@pytest.mark.parametrize("name", ["tent", "radial", "compositional", "line", "sparse_regression", "manifold"])
def test_real_targets_are_float64_if_float32_would_round(name):
    dataset = data(name)
    assert dataset.target == "real"
    dtype = torch.float32 if name == "tent" else torch.float64  # a tent's values have few binary digits
    assert dataset.train.x.dtype == dataset.train.y.dtype == dtype
    for t in (dataset.train.x, dataset.train.y):
        assert t.equal(t.float().to(dtype)) == (name == "tent")
    assert dataset.width == (2 if name == "manifold" else 1)
