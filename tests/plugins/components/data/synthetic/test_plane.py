import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from tests.plugins.components.helpers import data, whole


def test_xor_has_four_corners_labelled_by_their_product():
    x, y = whole(data("xor", {"n": 400, "noise": 0.05}))
    corners, counts = np.unique(np.round(x), axis=0, return_counts=True)
    np.testing.assert_array_equal(corners, [[-1, -1], [-1, 1], [1, -1], [1, 1]])
    np.testing.assert_array_equal(counts, [100] * 4)
    np.testing.assert_array_equal(y == 1, np.sign(x[:, 0]) != np.sign(x[:, 1]))
    assert abs((x - np.round(x)).std() - 0.05) < 0.005


def test_xor_is_not_linearly_separable_but_its_product_is():
    x, y = whole(data("xor"))
    assert LogisticRegression().fit(x, y).score(x, y) < 0.6
    assert LogisticRegression().fit(x.prod(1, keepdims=True), y).score(x.prod(1, keepdims=True), y) == 1


@pytest.mark.parametrize(("arms", "turns"), [(2, 1.5), (4, 0.75)])
def test_spiral_points_lie_at_the_angle_of_their_radius(arms, turns):
    x, y = whole(data("spirals", {"n": 600, "arms": arms, "turns": turns, "noise": 0.0}))
    radius = np.linalg.norm(x, axis=1)
    expected = radius * np.exp(2j * np.pi * (turns * radius + y / arms))
    np.testing.assert_allclose(x[:, 0] + 1j * x[:, 1], expected, atol=1e-5)
    assert radius.max() <= 1
    assert abs((radius**2).mean() - 0.5) < 0.05


def test_spirals_are_not_linearly_separable_but_neighbours_classify_them():
    x, y = whole(data("spirals", {"n": 1000}))
    assert LogisticRegression().fit(x, y).score(x, y) < 0.75
    assert KNeighborsClassifier(3).fit(x[::2], y[::2]).score(x[1::2], y[1::2]) > 0.97


@pytest.mark.parametrize(("modes", "radius"), [(8, 1.0), (5, 3.0)])
def test_ring_modes_are_evenly_spaced(modes, radius):
    x, y = whole(data("ring_mixture", {"n": 4000, "modes": modes, "radius": radius, "deviation": 0.05}))
    for mode in range(modes):
        mine = x[y == mode]
        centre = radius * np.array([np.cos(2 * np.pi * mode / modes), np.sin(2 * np.pi * mode / modes)])
        np.testing.assert_allclose(mine.mean(0), centre, atol=0.01)
        np.testing.assert_allclose(np.cov(mine.T), 0.0025 * np.eye(2), atol=6e-4)
