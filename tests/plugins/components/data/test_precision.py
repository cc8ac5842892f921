"""Tests of integers beyond 2**53, which float64 rounds: names stay distinct, numbers are refused or remarked."""

import numpy as np
import pandas as pd
import pytest
import torch

from harness.datasets.dataset import SPLITS
from harness.datasets.validation import validate
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data

N = 120
RNG = np.random.default_rng(0)
IDS = 2**53 + RNG.integers(0, 6, N)


def _stored(folder, kind, table):
    path = folder / f"t.{kind}"
    table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    return {"path": str(path)}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_large_ids_are_distinct_categories_groups_and_classes(tmp_path, kind):
    table = pd.DataFrame({"shop": IDS, "a": RNG.normal(size=N), "y": np.where(IDS % 2, "odd", "even")})
    file = _stored(tmp_path, kind, table)
    dataset = data(kind, {**file, "target": "y", "categories": ["shop"]})
    assert sum(name.startswith("shop=") for name in dataset.columns) == 6
    np.testing.assert_array_equal(dataset.encode(table)[:, 1:].sum(1), 1)
    classes = data(kind, {**file, "target": "shop", "kind": "class"}).classes
    assert classes == tuple(str(value) for value in np.unique(IDS))
    grouped = data(kind, {**file, "target": "y", "group": "shop", "categories": ["shop"], "inputs": ["shop", "a"]})
    places = [i for i, name in enumerate(grouped.columns) if name.startswith("shop=")]
    seen = [{int(row.argmax()) for row in grouped.part(split).x[:, places] if row.any()} for split in SPLITS]
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]


def test_large_ids_with_missing_values_keep_their_digits(tmp_path):
    ids = pd.array([None if i % 10 == 0 else int(v) for i, v in enumerate(IDS)], dtype="Int64")
    file = _stored(tmp_path, "parquet", pd.DataFrame({"shop": ids, "y": RNG.choice(["p", "q"], N)}))
    dataset = data("parquet", {**file, "target": "y", "categories": ["shop"]})
    assert sum("=" in name for name in dataset.columns) == 6
    assert dataset.columns[-1] == "shop is missing"


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
@pytest.mark.parametrize("low", [2**53, 2**60, -(2**62)])
def test_real_target_that_float64_rounds_is_refused(tmp_path, kind, low):
    y = low + 2 * np.arange(N) + 1
    x = RNG.normal(size=(N, 2))
    if kind == "npz":
        np.savez(tmp_path / "t.npz", x=x, y=y)
        settings = {"path": str(tmp_path / "t.npz")}
    else:
        settings = {**_stored(tmp_path, kind, pd.DataFrame({"a": x[:, 0], "y": y})), "target": "y"}
    with pytest.raises(HarnessError, match=rf"float64 rounds by up to \d+: subtract {y[0]} from all of them"):
        data(kind, settings)


def test_time_in_nanoseconds_can_be_a_target(tmp_path):
    """The times are an hour apart, and rounded by 128 ns."""
    y = pd.date_range("2024", periods=N, freq="h").as_unit("ns").astype("int64").to_numpy()
    np.savez(tmp_path / "t.npz", x=RNG.normal(size=(N, 2)), y=y)
    dataset = data("npz", {"path": str(tmp_path / "t.npz")})
    result = torch.cat([dataset.part(split).y for split in SPLITS]).double().flatten().sort().values
    np.testing.assert_allclose(result.numpy(), y.astype(np.float64), rtol=0, atol=128)


def test_large_inputs_are_remarked_or_refused(tmp_path):
    large = 2**60 + RNG.permutation(N)
    table = pd.DataFrame({"big": large, "a": RNG.normal(size=N), "y": RNG.choice(["p", "q"], N)})
    dataset = data("csv", {**_stored(tmp_path, "csv", table), "target": "y"})
    assert any("the numbers of 'big' are so large that float64 rounds them" in text for text in dataset.remarks)
    np.savez(tmp_path / "t.npz", x=large[:, None], y=table["y"].to_numpy(str))
    with pytest.raises(HarnessError, match=r"array .x. holds whole numbers up to .* float64 rounds by up to"):
        data("npz", {"path": str(tmp_path / "t.npz")})


def test_numeric_categories_stay_categories(tmp_path):
    table = pd.DataFrame(
        {"grade": pd.Categorical(RNG.integers(10, 90, N)), "y": pd.Categorical(RNG.integers(0, 30, N))}
    )
    table["a"] = RNG.normal(size=N)
    file = _stored(tmp_path, "parquet", table)
    assert "grade" not in data("parquet", {**file, "target": "y"}).columns
    assert data("parquet", {**file, "target": "y"}).target == "class"


def test_durations_are_seconds(tmp_path):
    table = pd.DataFrame({"took": pd.to_timedelta(RNG.integers(0, 9999, N), unit="ms"), "y": RNG.choice(["p", "q"], N)})
    dataset = data("parquet", {**_stored(tmp_path, "parquet", table), "target": "y"})
    result = np.sort(torch.cat([dataset.part(split).x for split in SPLITS]).double().numpy().ravel())
    np.testing.assert_allclose(result, np.sort(table["took"].dt.total_seconds()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}])
def test_target_of_lists_is_refused(tmp_path, value):
    table = pd.DataFrame({"a": RNG.normal(size=N), "y": [value] * N})
    with pytest.raises(HarnessError, match="'y' cannot be predicted: it holds neither numbers nor texts"):
        data("parquet", {**_stored(tmp_path, "parquet", table), "target": "y"})


def test_inputs_without_numbers_are_refused(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.zeros((N, 0)), y=np.arange(N) % 2)
    with pytest.raises(HarnessError, match=r"the inputs hold no numbers: a sample has shape \[0\]"):
        validate(data("npz", {"path": str(tmp_path / "t.npz")}), "npz")
