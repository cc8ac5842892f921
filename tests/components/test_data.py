import numpy as np
import pytest
import sklearn.datasets
import torch

from harness.dataset import SPLITS, digest, overlap, validate
from tests.components.helpers import data


def joined(dataset):
    """All samples of a data set, sorted by their inputs."""
    x = torch.cat([dataset.part(split).x for split in SPLITS]).flatten(1).numpy()
    y = torch.cat([dataset.part(split).y for split in SPLITS]).numpy()
    return rows(x, y)


def rows(x, y):
    both = np.column_stack([np.asarray(x, dtype=np.float32).reshape(len(x), -1), y])
    return both[np.lexsort(both.T)]


@pytest.mark.parametrize(
    ("name", "load", "shape"),
    [("digits", sklearn.datasets.load_digits, (1, 8, 8)), ("iris", sklearn.datasets.load_iris, (4,))],
)
def test_scikit_learns_own_sets_come_whole(name, load, shape):
    found = load()
    dataset = data(name)
    validate(dataset, name)
    np.testing.assert_array_equal(joined(dataset), rows(found.data, found.target))
    assert dataset.inputs == shape
    assert dataset.classes == tuple(str(c) for c in found.target_names)
    assert dataset.target == "class"


def test_the_pixels_of_a_digit_stand_where_they_stood():
    found = sklearn.datasets.load_digits()
    part = data("digits").test
    image, label = part.x[7, 0].numpy(), int(part.y[7])
    same = [i for i, other in enumerate(found.images) if np.array_equal(other, image)]
    assert len(same) == 1
    assert found.target[same[0]] == label


@pytest.mark.parametrize("settings", [{"n": 300, "noise": 0.1}, {"n": 10, "noise": 0.0}, {}])
def test_moons_are_scikit_learns(settings):
    dataset = data("moons", settings, seed=5)
    n, noise = settings.get("n", 1000), settings.get("noise", 0.2)
    validate(dataset, "moons")
    assert sum(len(dataset.part(split)) for split in SPLITS) == n
    upper = joined(dataset)[:, 2] == 0
    assert upper.sum() == (n + 1) // 2
    x = joined(dataset)[:, :2].astype(np.float64)
    centre = np.where(upper[:, None], [0.0, 0.0], [1.0, 0.5])
    off = np.linalg.norm(x - centre, axis=1) - 1
    assert abs(off).max() <= max(5 * noise, 1e-6)
    assert abs(off.std() - noise) <= 0.15 * noise + 1e-6


@pytest.mark.parametrize("name", ["digits", "iris", "moons"])
def test_data_is_a_function_of_the_splits_seed(name):
    assert digest(data(name, seed=1)) == digest(data(name, seed=1))
    assert digest(data(name, seed=1)) != digest(data(name, seed=2))


def test_an_overlap_is_told():
    found = sklearn.datasets.load_iris().data
    assert len(np.unique(found, axis=0)) == 149  # one flower stands twice
    assert {overlap(data("iris", seed=seed)) for seed in range(12)} == {0, 1}
    assert overlap(data("digits")) == 0
