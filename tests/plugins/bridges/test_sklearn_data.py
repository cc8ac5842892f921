"""Tests of the bridge to scikit-learn's data sets: against the functions themselves, and reasons for omissions."""

import types

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from harness.datasets.dataset import digest
from harness.datasets.validation import validate as validate_dataset
from harness.registry import catalogue
from harness.registry.component import asks, mark_of, parameters, validate
from harness.registry.registry import REGISTRY
from harness.system.errors import HarnessError
from harness_sklearn import data as bridged
from tests.plugins.components.helpers import data, whole

ENTRIES = {e["name"]: e for e in catalogue.current() if e["plugin"] == "scikit-learn" and e["kind"] == "data"}
HERE = [name for name in ENTRIES if not name.startswith("sklearn_fetch_")]


def sums(x, y):
    """Return the sums of all rows, which do not depend on a split."""
    return sorted(np.column_stack([np.asarray(x).reshape(len(x), -1), y]).sum(1).tolist())


def test_every_function_is_bridged_or_gives_a_reason():
    out = {n.removeprefix("data/"): why for n, (_, why) in catalogue.current().absent.items() if n.startswith("data/")}
    words = {f"sklearn_{w}" for w in sklearn.datasets.__all__ if w.startswith(("load_", "make_", "fetch_"))}
    assert words == set(ENTRIES) | set(out)
    assert not set(ENTRIES) & set(out)
    assert {"sklearn_load_digits", "sklearn_make_moons", "sklearn_fetch_openml"} <= set(ENTRIES)
    assert "no inputs with targets" in out["sklearn_load_sample_image"]
    assert "no table of numbers" in out["sklearn_make_spd_matrix"] or "no inputs" in out["sklearn_make_spd_matrix"]


@pytest.mark.parametrize("name", HERE)
def test_bridged_data_is_valid_and_depends_on_the_split_seed(name):
    component, entry = REGISTRY.get("data", name), ENTRIES[name]
    assert validate(component) == mark_of(component)
    assert getattr(bridged, name) is component
    assert 10 < len(entry["doc"].splitlines()[0]) <= 120
    first = data(name, seed=1)
    validate_dataset(first, name)
    assert digest(first) == digest(data(name, seed=1)) != digest(data(name, seed=2))


@pytest.mark.parametrize(
    ("name", "target", "inputs", "classes"),
    [
        ("load_digits", "class", (1, 8, 8), 10),
        ("load_iris", "class", (4,), 3),
        ("load_diabetes", "real", (10,), 0),
        ("load_linnerud", "real", (3,), 0),
        ("make_moons", "class", (2,), 2),
        ("make_hastie_10_2", "class", (10,), 2),
        ("make_friedman1", "real", (10,), 0),
        ("make_multilabel_classification", "labels", (20,), 5),
    ],
)
def test_target_type_follows_the_targets(name, target, inputs, classes):
    dataset = data(f"sklearn_{name}")
    assert (dataset.target, dataset.inputs, len(dataset.classes)) == (target, inputs, classes)
    x, y = whole(dataset)
    function = getattr(sklearn.datasets, name)
    if name.startswith("load_") and target == "class":
        theirs = function()
        np.testing.assert_allclose(sums(x, y), sums(theirs.data, theirs.target), rtol=1e-5, atol=1e-4)
        assert dataset.classes == tuple(str(c) for c in theirs.target_names)


def test_settings_reach_scikit_learn():
    dataset = data("sklearn_make_blobs", {"n_samples": 50, "n_features": 7, "cluster_std": 0.1})
    assert len(whole(dataset)[0]) == 50
    assert dataset.inputs == (7,)
    hints = {p.name: p for p in parameters(REGISTRY.get("data", "sklearn_make_moons"))}
    assert hints["n_samples"].default == 100
    assert not hints.keys() & {"random_state", "shuffle", "return_X_y"}
    with pytest.raises(HarnessError, match=r"make_classification: Number of informative"):
        data("sklearn_make_classification", {"n_features": 2})


def test_fetched_data_is_kept_in_the_cache_folder(monkeypatch, tmp_path):
    settings = {}

    def fetch_covtype(**given):
        settings.update(given)
        rng = np.random.default_rng(0)
        return Bunch(data=rng.normal(size=(50, 4)), target=1 + np.arange(50) % 3, target_names=["Cover_Type"])

    monkeypatch.setattr(sklearn.datasets, "fetch_covtype", fetch_covtype)
    dataset = data("sklearn_fetch_covtype", cache_dir=tmp_path)
    assert dataset.classes == ("1", "2", "3")
    assert settings["data_home"] == str(tmp_path / "sklearn")
    assert asks(REGISTRY.get("data", "sklearn_fetch_covtype")) == ["split", "cache_dir", "generator"]


@pytest.mark.parametrize(
    ("y", "target", "classes"),
    [
        (np.arange(120) % 40, "class", tuple(map(str, range(40)))),  # integers are classes, however many
        (np.where(np.arange(120) % 2, 1.0, -1.0), "class", ("-1", "1")),
        (np.arange(120) % 3 + 1.0, "class", ("1", "2", "3")),
        (np.array(["yes", "no", " yes"] * 40, dtype=object), "class", ("no", "yes")),
        (np.arange(120) / 2, "real", ()),
        (np.eye(3)[np.arange(120) % 3], "labels", ("0", "1", "2")),
        (np.arange(240.0).reshape(120, 2), "real", ()),
    ],
)
def test_target_type_is_inferred_as_for_files(y, target, classes, monkeypatch, tmp_path):
    def fetch_openml(**given):
        return Bunch(data=np.arange(240.0).reshape(120, 2), target=y)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    dataset = data("sklearn_fetch_openml", {"name": "any"}, cache_dir=tmp_path)
    assert (dataset.target, dataset.classes) == (target, classes)


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (OSError("no route to host"), "no route to host"),
        (Bunch(data=["a text", "another"], target=np.arange(2)), "no table of numbers"),
        (Bunch(data=np.array([["a", "b"]] * 9, dtype=object), target=np.arange(9)), "no table of numbers"),
        (3, "no inputs with targets"),
    ],
)
def test_unusable_result_is_refused_in_one_line(returned, reason, monkeypatch, tmp_path):
    def fetch_openml(**given):
        if isinstance(returned, Exception):
            raise returned
        return returned

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    with pytest.raises(HarnessError, match=reason):
        data("sklearn_fetch_openml", {"name": "mnist_784"}, cache_dir=tmp_path)


def make_rows(n_rows=20, random_state=None):
    """Makes rows of numbers, for a test."""
    rng = np.random.default_rng(random_state)
    return rng.normal(size=(n_rows, 2)), rng.integers(0, 2, n_rows)


def make_trouble(n=3):
    raise RuntimeError("out of order")


def make_fit(to):
    return to


def test_new_function_is_bridged_and_a_broken_one_left_out():
    module = types.ModuleType("datasets.to.come")
    module.__all__ = ["make_rows", "make_trouble", "make_fit", "make_gone", "clear"]
    module.make_rows, module.make_trouble, module.make_fit = make_rows, make_trouble, make_fit
    offered, out = bridged.bridge(module)
    assert {p.name: p.default for p in parameters(offered["sklearn_make_rows"])} == {"n_rows": 20}
    assert out["sklearn_make_fit"] == "it needs to, which is no plain data"
    assert out["sklearn_make_gone"].startswith("it cannot be read: ")
    assert bridged.failures(offered) == {"sklearn_make_trouble": "make_trouble: out of order"}
