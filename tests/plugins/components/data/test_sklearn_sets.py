import numpy as np
import pytest
import sklearn.datasets
import torch

from harness.datasets.dataset import SPLITS, digest, overlap
from harness.datasets.validation import validate
from harness.registry import catalogue
from harness_components.data import sklearn_sets
from tests.plugins.components.helpers import data


def joined(dataset):
    """Return all samples of a data set, sorted by their inputs."""
    x = torch.cat([dataset.part(split).x for split in SPLITS]).flatten(1).numpy()
    y = torch.cat([dataset.part(split).y for split in SPLITS]).numpy()
    return rows(x, y)


def rows(x, y):
    both = np.column_stack([np.asarray(x, dtype=np.float32).reshape(len(x), -1), y])
    return both[np.lexsort(both.T)]


@pytest.mark.parametrize(
    ("name", "load", "shape"),
    [
        ("digits", sklearn.datasets.load_digits, (1, 8, 8)),
        ("iris", sklearn.datasets.load_iris, (4,)),
        ("wine", sklearn.datasets.load_wine, (13,)),
        ("breast_cancer", sklearn.datasets.load_breast_cancer, (30,)),
    ],
)
def test_scikit_learns_data_sets_are_complete(name, load, shape):
    bunch = load()
    dataset = data(name)
    validate(dataset, name)
    np.testing.assert_array_equal(joined(dataset), rows(bunch.data, bunch.target))
    assert dataset.inputs == shape
    assert dataset.classes == tuple(str(c) for c in bunch.target_names)
    assert dataset.target == "class"


@pytest.mark.parametrize("name", ["digits", "iris", "wine", "breast_cancer", "diabetes"])
def test_files_hold_the_arrays_of_scikit_learns_loader_to_the_bit(name, monkeypatch):
    passed = []
    monkeypatch.setattr(sklearn_sets, "from_arrays", lambda x, y, *_, **settings: passed.append((x, y)))
    getattr(sklearn_sets, name)(None, None)
    ((x, y),) = passed
    bunch = getattr(sklearn.datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    assert (x.dtype, y.dtype) == (bunch.data.dtype, bunch.target.dtype)
    assert x.reshape(bunch.data.shape).tobytes() == bunch.data.tobytes()
    assert y.tobytes() == bunch.target.tobytes()


def test_pixels_of_a_digit_keep_their_places():
    bunch = sklearn.datasets.load_digits()
    part = data("digits").test
    image, label = part.x[7, 0].numpy(), int(part.y[7])
    same = [i for i, other in enumerate(bunch.images) if np.array_equal(other, image)]
    assert len(same) == 1
    assert bunch.target[same[0]] == label


@pytest.mark.parametrize("settings", [{"n": 300, "noise": 0.1}, {"n": 10, "noise": 0.0}, {}])
def test_moons_are_half_circles_with_noise(settings):
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


def test_diabetes_has_its_original_units():
    bunch = sklearn.datasets.load_diabetes(scaled=False)
    dataset = data("diabetes")
    np.testing.assert_array_equal(joined(dataset), rows(bunch.data, bunch.target.astype(np.float32)))
    assert (dataset.target, dataset.inputs, dataset.width) == ("real", (10,), 1)
    assert 25 <= joined(dataset)[:, -1].min() < joined(dataset)[:, -1].max() <= 346


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.8])
def test_circles_have_their_radii(factor):
    samples = joined(data("circles", {"n": 400, "noise": 0.01, "factor": factor}))
    radius = np.linalg.norm(samples[:, :2], axis=1)
    inner = samples[:, 2] == 1
    assert inner.sum() == 200
    assert abs(radius[inner] - factor).max() < 0.06
    assert abs(radius[~inner] - 1).max() < 0.06


def test_blobs_are_gaussians_of_the_given_deviation():
    dataset = data("blobs", {"n": 4000, "classes": 4, "features": 3, "deviation": 0.5}, seed=3)
    samples = joined(dataset)
    assert dataset.inputs == (3,)
    assert dataset.classes == ("0", "1", "2", "3")
    for c in range(4):
        x = samples[samples[:, -1] == c, :3]
        assert len(x) == 1000
        assert abs(x.mean(0)).max() < 10.1
        np.testing.assert_allclose(np.cov(x.T), 0.25 * np.eye(3), atol=0.04)


EVERY = [
    row["name"]
    for row in catalogue.current()
    if (row["kind"], row["plugin"]) == ("data", "harness") and not any(p["required"] for p in row["parameters"])
]


@pytest.mark.parametrize("name", EVERY)
def test_data_depends_on_the_split_seed(name, tmp_path):
    def made(seed):
        return data(name, seed=seed, cache_dir=tmp_path)

    first = made(1)
    assert digest(first) == digest(made(1))
    assert (digest(first) == digest(made(2))) is (first.target == "surface")  # a surface has no randomness
    validate(first, name)


SYNTHETIC = [row["name"] for row in catalogue.current() if row["kind"] == "data" and row["name"] in EVERY
             and row["name"] != "toy_grammar" and any(p["name"] == "n" for p in row["parameters"])]  # fmt: skip


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_data_has_its_size_balanced_classes_and_no_duplicates(name):
    dataset = data(name, {"n": 120})
    sizes = [len(dataset.part(split)) for split in SPLITS]
    assert sizes == [120 - 20 - 24, 20, 24]
    assert overlap(dataset) == 0
    if dataset.target == "class":
        counts = np.bincount(joined(dataset)[:, -1].astype(int), minlength=len(dataset.classes))
        assert counts.max() - counts.min() <= 1


def test_overlap_of_iris_is_counted():
    inputs = sklearn.datasets.load_iris().data
    assert len(np.unique(inputs, axis=0)) == 149  # one flower is there twice
    assert {overlap(data("iris", seed=seed)) for seed in range(12)} == {0, 1}
    assert overlap(data("digits")) == 0
