import csv

import numpy as np
import pandas as pd
import pytest
import torch

from harness.datasets.dataset import SPLITS
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data

N = 40
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).round(3)
TARGETS = {
    "texts": (np.array(["cat", "dog", "ant"])[np.arange(N) % 3], "class", ("ant", "cat", "dog")),
    "truths": (np.arange(N) % 2 == 0, "class", ("False", "True")),
    "few whole numbers": (np.arange(N) % 4 + 3, "class", ("3", "4", "5", "6")),
    "many whole numbers": (np.arange(N), "real", ()),
    "real numbers": (X[:, 0] * 2, "real", ()),
}


def joined(dataset):
    parts = [dataset.part(split) for split in SPLITS]
    x, y = torch.cat([p.x for p in parts]).numpy(), torch.cat([p.y for p in parts]).numpy()
    order = np.argsort(x.reshape(len(x), -1)[:, 0])
    return x[order], y[order]


def written(folder, component, y):
    """Write X and y to a file; return the settings that read it."""
    path = folder / f"table.{component}"
    if component == "npz":
        np.savez(path, x=X, y=y)
        return {"path": str(path)}
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    table.insert(1, "label", y)
    if component == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return {"path": str(path), "target": "label"}


@pytest.mark.parametrize("component", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("target", TARGETS)
def test_written_values_are_read_and_the_target_kind_inferred(tmp_path, component, target):
    y, kind, classes = TARGETS[target]
    dataset = data(component, written(tmp_path, component, y))
    assert dataset.target == kind
    assert dataset.classes == classes
    order = np.argsort(X[:, 0])
    x, got = joined(dataset)
    np.testing.assert_array_equal(x, X[order])
    expected = y[order]
    if kind == "class":
        assert [classes[i] for i in got] == [str(v) for v in expected]
    else:
        np.testing.assert_array_equal(got[:, 0], expected)


@pytest.mark.parametrize("component", ["csv", "parquet", "npz"])
def test_target_kind_can_be_set(tmp_path, component):
    settings = written(tmp_path, component, np.arange(N) % 4)
    real = data(component, {**settings, "kind": "real"})
    assert (real.target, real.width) == ("real", 1)
    settings = written(tmp_path, component, np.arange(N))
    assert len(data(component, {**settings, "kind": "class"}).classes) == N
    with pytest.raises(HarnessError, match="number"):
        data(component, {**written(tmp_path, component, TARGETS["texts"][0]), "kind": "real"})


def test_csv_may_have_another_separator_and_spaces(tmp_path):
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([["a", " b", "y"], *([2 * i, f" {i / 2}", "odd" if i % 2 else "even"] for i in range(N))])
    x, y = joined(data("csv", {"path": str(path), "target": "y", "separator": ";"}))
    np.testing.assert_array_equal(x, [[2 * i, i / 2] for i in range(N)])
    np.testing.assert_array_equal(y, np.arange(N) % 2)


def test_npz_may_hold_images_and_several_targets_under_any_names(tmp_path):
    path = tmp_path / "arrays.npz"
    images = RNG.integers(0, 255, size=(N, 2, 4, 5), dtype=np.uint8)
    targets = RNG.normal(size=(N, 3)).astype(np.float32)
    images[:, 0, 0, 0] = np.arange(N)
    np.savez(path, pictures=images, poses=targets)
    dataset = data("npz", {"path": str(path), "inputs": "pictures", "target": "poses"})
    assert dataset.inputs == (2, 4, 5)
    assert dataset.width == 3
    x, y = joined(dataset)
    np.testing.assert_array_equal(x, images)
    np.testing.assert_array_equal(y, targets)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a,y\n", "no rows"),
        ("y\n1\n2\n", "no column beside 'y'"),
        ("a,z\n1,2\n", "no column 'y'"),
        ("a,y\n1,p\nx,q\n", r"line 3, column 'a': expected .*number, got 'x'"),
        ("a,y\n1,p\n2,\n", r"line 3, column 'y': expected .*value"),
        ("a,y\n1,p\ninf,q\n", r"line 3, column 'a': expected a finite number"),
    ],
)
def test_unusable_table_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(HarnessError, match=message):
        data("csv", {"path": str(path), "target": "y"})


@pytest.mark.parametrize("component", ["csv", "parquet", "npz"])
def test_missing_file_is_refused_with_the_nearest_name(tmp_path, component):
    settings = written(tmp_path, component, TARGETS["texts"][0])
    wrong = settings["path"].replace("table", "tables")
    with pytest.raises(HarnessError, match=rf"no file .*Did you mean 'table\.{component}'"):
        data(component, {"target": "label", **settings, "path": wrong})
    with pytest.raises(HarnessError, match="folder"):
        data(component, {"target": "label", **settings, "path": str(tmp_path)})


@pytest.mark.parametrize("component", ["parquet", "npz"])
def test_file_of_another_format_is_refused(tmp_path, component):
    path = tmp_path / "file"
    path.write_text("not what it seems")
    with pytest.raises(HarnessError, match="is not a"):
        data(component, {"path": str(path), "target": "y"})


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((4, 2)), np.arange(5), "do not fit"),
        (np.ones(4), np.arange(4), "do not fit"),
        (np.ones((4, 2)), np.ones((4, 2, 2)), "do not fit"),
        (np.array([["a"], ["b"]]), np.arange(2), "expected numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, x, y, message):
    path = tmp_path / "arrays.npz"
    np.savez(path, x=x, y=y)
    with pytest.raises(HarnessError, match=message):
        data("npz", {"path": str(path)})


def test_missing_array_is_refused_with_the_nearest_name(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, inputs=X, y=np.arange(N))
    with pytest.raises(HarnessError, match="Did you mean 'inputs'"):
        data("npz", {"path": str(path), "inputs": "input"})
