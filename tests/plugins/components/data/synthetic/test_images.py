import itertools

import numpy as np
import pytest
import scipy.signal
import scipy.stats
from sklearn.metrics import roc_auc_score

from harness.datasets.dataset import SPLITS, overlap
from harness_components.data.synthetic.images import CROSS
from tests.plugins.components.helpers import data


def images(dataset):
    """Return [N, H, W] images and classes of all splits."""
    parts = [dataset.part(split) for split in SPLITS]
    return np.concatenate([p.x[:, 0].double().numpy() for p in parts]), np.concatenate([p.y.numpy() for p in parts])


@pytest.mark.parametrize("size", [3, 4])
def test_bars_and_stripes_are_complete(size):
    x, y = images(data("bars_and_stripes", {"size": size}))
    results = {(tuple(image.ravel()), int(label)) for image, label in zip(x, y, strict=True)}
    expected = set()
    for pixels in itertools.product([0.0, 1.0], repeat=size * size):
        image = np.array(pixels).reshape(size, size)
        rows, columns = (image == image[:, :1]).all(), (image == image[:1]).all()
        if rows and not image.all():
            expected.add((pixels, 0))
        elif columns and image.any():
            expected.add((pixels, 1))
    assert results == expected
    assert len(x) == 2 * 2**size - 2
    assert np.bincount(y).tolist() == [2**size - 1] * 2


def test_every_split_may_hold_all_patterns():
    divided, whole = data("bars_and_stripes"), data("bars_and_stripes", {"whole": True})
    assert overlap(divided) == 0
    assert [len(whole.part(split)) for split in SPLITS] == [30] * 3
    assert overlap(whole) is None  # by design


def test_spike_is_one_pixel_found_by_the_maximum():
    x, y = images(data("spike", {"n": 1000, "size": 10, "height": 20.0}))
    assert ((x > 10).sum((1, 2)) == y).all()
    places = np.argwhere(x[y == 1] > 10)[:, 1:]
    assert len(np.unique(places, axis=0)) > 90
    x, y = images(data("spike", {"n": 2000}))
    assert roc_auc_score(y, x.max((1, 2))) > 0.99
    assert roc_auc_score(y, x.mean((1, 2))) < 0.8


def test_mean_image_is_classified_by_its_mean():
    x, y = images(data("mean", {"n": 4000, "difference": 0.5}))
    assert x[y == 1].mean() == pytest.approx(0.25, abs=0.01)
    assert x[y == 0].mean() == pytest.approx(-0.25, abs=0.01)
    assert scipy.stats.kstest((x[y == 0] + 0.25).ravel()[::20], "norm").pvalue > 0.01
    # two normal means, at a distance of half a deviation times the root of 144 pixels
    assert roc_auc_score(y, x.mean((1, 2))) == pytest.approx(scipy.stats.norm.cdf(0.5 * 12 / np.sqrt(2)), abs=0.001)
    assert roc_auc_score(y, x.max((1, 2))) < 0.9


def test_planted_pattern_is_found_by_its_filter_and_not_by_brightness():
    assert np.sum(CROSS) == pytest.approx(0)
    assert np.linalg.norm(CROSS) == pytest.approx(1)
    x, y = images(data("planted_pattern", {"n": 2000}))
    answer = np.array([scipy.signal.correlate2d(image, CROSS, mode="valid").max() for image in x])
    assert roc_auc_score(y, answer) > 0.99
    assert roc_auc_score(y, x.mean((1, 2))) < 0.55
    strong, label = images(data("planted_pattern", {"n": 600, "size": 7, "strength": 1000.0}))
    places = set()
    for image, one in zip(strong, label, strict=True):
        if not one:
            assert abs(image).max() < 6
            continue
        answer = scipy.signal.correlate2d(image, CROSS, mode="valid")
        places.add(place := np.unravel_index(answer.argmax(), answer.shape))
        image[place[0] : place[0] + 3, place[1] : place[1] + 3] -= 1000 * CROSS
        assert abs(image).max() < 6
    assert len(places) == 25
