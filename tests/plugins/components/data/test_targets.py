"""Tests of targets: notations of classes, stratified splits, and remarks on odd classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import StratifiedShuffleSplit

import harness
from harness.config.settings import Split
from harness.datasets.class_counts import split_counts
from harness.datasets.dataset import SPLITS, Samples, divide, from_arrays
from harness.datasets.remarks import TargetWarning, remarks
from harness.datasets.stratify import shares
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data

N = 90
X = np.random.default_rng(0).normal(size=(N, 3))
PLACE = np.arange(N)
BITS = np.random.default_rng(1).integers(0, 2, (N, 3))
LINE = ["epochs=1", "batch_size=16", "logger=[]", "diagnostic=[]", "study=t"]


def dataset_of(folder: Any, y: np.ndarray, **settings: Any) -> harness.Dataset:
    np.savez(folder / "a.npz", x=X, y=y)
    dataset: harness.Dataset = data("npz", {"path": str(folder / "a.npz"), **settings}, cache_dir=folder)
    return dataset


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("y", "target", "classes"),
    [
        (PLACE % 3 + 1, "class", ("1", "2", "3")),
        ((PLACE % 2).astype(float), "class", ("0", "1")),
        ((PLACE % 2)[:, None], "class", ("0", "1")),
        (PLACE + 0.5, "real", ()),
        (PLACE.astype(float), "real", ()),
        (BITS, "labels", ("0", "1", "2")),
        (BITS.astype(float), "labels", ("0", "1", "2")),
        (BITS.astype(bool), "labels", ("0", "1", "2")),
        (np.array(["no", "yes ", "no\t"])[PLACE % 3], "class", ("no", "yes")),
    ],
)
def test_target_kind_is_inferred_from_arrays(tmp_path, y, target, classes, in_memory) -> None:
    dataset = dataset_of(tmp_path, y, in_memory=in_memory)
    assert (dataset.target, dataset.classes) == (target, classes)
    assert dataset_of(tmp_path, BITS, kind="real").target == "real"
    assert dataset_of(tmp_path, BITS, kind="labels").target == "labels"


def test_invalid_labels_are_refused(tmp_path) -> None:
    with pytest.raises(HarnessError, match=r"labels are columns of 0 and 1.*holds other values"):
        dataset_of(tmp_path, BITS * 2, kind="labels")
    with pytest.raises(HarnessError, match=r"labels are columns of 0 and 1.*shape \(90,\)"):
        dataset_of(tmp_path, PLACE % 2, kind="labels")


def test_from_arrays_accepts_classes_from_one() -> None:
    dataset = from_arrays(X, PLACE % 3 + 1, Split(), torch.Generator(), target="class")
    assert dataset.classes == ("1", "2", "3")
    assert isinstance(dataset.train, Samples)
    assert set(dataset.train.y.tolist()) == {0, 1, 2}


def test_odd_classes_get_a_remark_each(tmp_path) -> None:
    dataset = dataset_of(tmp_path, np.array(["no", "no ", "No", "yes"])[PLACE % 4])
    assert dataset.classes == ("No", "no", "yes")
    spaces, case = remarks(dataset)
    assert spaces == "spaces around 23 values of target 'y' are left out"
    assert case == "classes 'No' and 'no' of target 'y' differ in upper and lower case alone"
    (many,) = remarks(dataset_of(tmp_path, np.array([f"t{i}" for i in range(N)])))
    assert many == "90 classes for 90 samples: are the targets numbers, or texts?"
    rare = PLACE % 2
    rare[5] = 7
    assert remarks(dataset_of(tmp_path, rare)) == ["there is only one sample of class '7'"]


def test_remarks_are_warnings_and_kept_in_the_record(tmp_path) -> None:
    y = PLACE % 2
    y[5] = 7
    np.savez(tmp_path / "a.npz", x=X, y=y)
    lines = ["there is only one sample of class '7'", "the val split lacks class '7'; the test split lacks class '7'"]
    with pytest.warns(TargetWarning) as caught:
        record = harness.run([*LINE, "data=npz", f"data.path={tmp_path / 'a.npz'}"])
    assert [str(warning.message) for warning in caught] == [f"data npz: {line}" for line in lines]
    assert record.data["remarks"] == lines
    assert record.warnings == lines[1:]
    assert record.status == "completed"


@pytest.mark.parametrize("seed", [0, 1])
def test_stratified_splits_have_the_share_of_each_class(seed) -> None:
    y = torch.tensor([0] * 700 + [1] * 250 + [2] * 50)[torch.randperm(1000)]
    parts = divide(1000, Split(), torch.Generator().manual_seed(seed), y)
    assert {name: y[i].bincount().tolist() for name, i in parts.items()} == {
        "train": [448, 160, 32],
        "val": [112, 40, 8],
        "test": [140, 50, 10],
    }
    assert torch.equal(torch.cat(list(parts.values())).sort().values, torch.arange(1000))
    again = divide(1000, Split(), torch.Generator().manual_seed(seed), y)
    other = divide(1000, Split(), torch.Generator().manual_seed(seed + 7), y)
    assert all(torch.equal(again[name], parts[name]) for name in SPLITS)
    assert not torch.equal(other["test"], parts["test"])


def test_stratified_shares_are_scikit_learns_if_whole() -> None:
    y = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    (_, theirs), *_ = StratifiedShuffleSplit(1, test_size=20, random_state=0).split(y, y)
    assert torch.equal(y[shares(y, 20)].bincount(), y[theirs].bincount())


def test_rare_classes_are_one_stratum_and_refused_if_stratify_is_set() -> None:
    rare = torch.tensor([0] * 500 + [1] * 400 + [2] * 2 + list(range(3, 51)) * 2 + [51, 52])[torch.randperm(1000)]
    for seed in range(3):
        parts = divide(1000, Split(), torch.Generator().manual_seed(seed), rare)
        counts = {name: rare[index].clamp_max(2).bincount().tolist() for name, index in parts.items()}
        assert counts == {"train": [320, 256, 64], "val": [80, 64, 16], "test": [100, 80, 20]}
    few = torch.tensor([0] * 50 + [1] * 2)
    with pytest.raises(HarnessError, match=r"3 samples of each class, and of class 1 \(from 0\) there are 2"):
        divide(52, Split(stratify=True), torch.Generator(), few)
    with pytest.raises(HarnessError, match=r"one of 4 has fewer than 5 classes"):
        divide(20, Split(stratify=True), torch.Generator(), torch.arange(20) % 5)
    with pytest.raises(HarnessError, match=r"split\.stratify=true needs targets that are classes"):
        harness.run(["data=diabetes", "split.stratify=true"])


def test_stratified_files_are_divided_as_in_memory(tmp_path) -> None:
    y = np.where(PLACE % 10 == 0, "rare", "usual")
    held, read = (dataset_of(tmp_path, y, in_memory=memory) for memory in (True, False))
    for name in SPLITS:
        part = read.part(name)
        targets = part.take(torch.arange(len(part)))[1]
        assert torch.equal(targets, held.part(name).y)
        assert int((targets == 0).sum()) == {"train": 6, "val": 1, "test": 2}[name]


SORTED = torch.arange(3).repeat_interleave(torch.tensor([150, 30, 20]))  # of 200 samples, by class
NOISE = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
COUNTS = {"train": [96, 19, 13], "val": [24, 5, 3], "test": [30, 6, 4]}  # the exact shares of validation: 24, 4.8, 3.2


def from_frame(folder: Path, name: str, **settings: Any) -> harness.Dataset:
    frame = pd.DataFrame({"a": NOISE[:, 0], "b": NOISE[:, 1], "kind": [f"k{c}" for c in SORTED.tolist()]})
    frame.to_csv(folder / "t.csv", index=False)
    frame.to_parquet(folder / "t.parquet")
    datasets.Dataset.from_pandas(frame).save_to_disk(folder / "set")
    files = {"csv": "t.csv", "parquet": "t.parquet", "hugging_face": "set"}
    dataset: harness.Dataset = data(
        name, {"path": str(folder / files[name]), "target": "kind", **settings}, cache_dir=folder
    )
    return dataset


def torch_data(folder: Path, in_memory: bool) -> harness.Dataset:
    whole = torch.utils.data.TensorDataset(NOISE, SORTED)
    draw = torch.Generator().manual_seed(0)
    return harness.from_torch(whole, split=Split(), generator=draw, cache_dir=folder, in_memory=in_memory)


SOURCES = {
    "arrays": lambda _: from_arrays(NOISE, SORTED, Split(), torch.Generator(), target="class"),
    "csv": lambda folder: from_frame(folder, "csv"),
    "parquet": lambda folder: from_frame(folder, "parquet"),
    "csv in files": lambda folder: from_frame(folder, "csv", in_memory=False),
    "hugging_face": lambda folder: from_frame(folder, "hugging_face", inputs=["a", "b"]),
    "torch": lambda folder: torch_data(folder, True),
    "torch in files": lambda folder: torch_data(folder, False),
}


@pytest.mark.parametrize("source", list(SOURCES))
def test_data_from_every_source_is_stratified(tmp_path: Path, source: str) -> None:
    counts = split_counts(SOURCES[source](tmp_path))
    assert counts is not None
    found = dict(zip(SPLITS, counts.tolist(), strict=True))
    assert {name: sum(row) for name, row in found.items()} == {name: sum(row) for name, row in COUNTS.items()}
    assert found == COUNTS


def test_stratify_is_part_of_the_id() -> None:
    records = [harness.run(["data=iris", *LINE, f"split.stratify={on}"]) for on in ("auto", "false")]
    assert records[0].id != records[1].id
    assert records[0].data["test"] == records[1].data["test"] == 30
