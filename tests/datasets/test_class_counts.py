"""Tests of the counts of classes in each split, and of the line on classes that a split lacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import harness
from harness import Dataset, Samples
from harness.config.settings import Split
from harness.datasets.class_counts import has_imbalanced_classes, lacking_classes, split_counts
from harness.datasets.dataset import SPLITS, from_arrays
from harness.datasets.remarks import TargetWarning
from tests.plugins.components.helpers import data

X = np.random.default_rng(0).normal(size=(90, 3))
LINE = ["epochs=1", "logger=[]", "diagnostic=[]", "save=none"]


def dataset(y: np.ndarray, names: str = "abc") -> Dataset:
    return from_arrays(X[: len(y)], y, Split(), torch.Generator(), target="class", classes=names)


def without(whole: Dataset, split: str, *classes: int) -> Dataset:
    part = whole.part(split)
    assert isinstance(part, Samples)
    kept = ~torch.isin(part.y, torch.tensor(classes))
    return replace(whole, **{split: Samples(part.x[kept], part.y[kept])})


@pytest.mark.parametrize("in_memory", [True, False])
def test_counts_of_samples_in_memory_and_in_files(tmp_path: Path, in_memory: bool) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=np.arange(90) % 3)
    path = str(tmp_path / "a.npz")
    counts = split_counts(data("npz", {"path": path, "in_memory": in_memory}, cache_dir=tmp_path))
    assert counts is not None
    assert counts.tolist() == [[19, 19, 19], [5, 5, 5], [6, 6, 6]]
    assert split_counts(data("diabetes")) is None


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda whole: whole, None),
        (lambda whole: without(whole, "test", 1), "the test split lacks class 'b'"),
        (
            lambda whole: without(without(whole, "train", 0, 2), "val", 1),
            "the train split lacks classes 'a', 'c'; the val split lacks class 'b'",
        ),
        (lambda whole: replace(whole, classes=tuple("abcd")), "there is no sample of class 'd'"),
        (
            lambda whole: replace(whole, classes=tuple("abcdefgh")),
            "there is no sample of classes 'd', 'e', 'f' and 2 more",
        ),
    ],
)
def test_classes_that_splits_lack_are_one_line(change: Callable[[Dataset], Dataset], line: str | None) -> None:
    assert lacking_classes(change(dataset(np.arange(90) % 3))) == ([] if line is None else [line])


def test_data_that_is_read_sample_by_sample_is_not_counted() -> None:
    whole = dataset(np.arange(90) % 3)
    part = whole.train
    assert isinstance(part, Samples)
    later = replace(whole, train=list(zip(part.x, part.y, strict=True)), digest="0")  # type: ignore[arg-type]
    assert split_counts(later) is None
    assert lacking_classes(later) == []
    assert not has_imbalanced_classes(later)


def test_imbalance_does_not_depend_on_the_split_seed() -> None:
    y = (np.arange(90) % 10 < 3).astype(int)  # near the limit
    found = set()
    for seed in range(10):
        split, generator = Split(seed=seed, stratify=False), torch.Generator().manual_seed(seed)
        found.add(has_imbalanced_classes(from_arrays(X, y, split, generator, target="class")))
    assert len(found) == 1


def test_class_that_a_corruption_removes_is_warned_of(workdir: Path) -> None:
    words = ["data=blobs", "corruption=[fraction]", "corruption.fraction.share=0.003"]
    with pytest.warns(TargetWarning, match="data blobs: the train split lacks class"):
        record = harness.run([*LINE, *words, "batch_size=2"])
    assert record.status == "completed"
    (line,) = record.warnings
    assert line.startswith("the train split lacks class")
    assert record.data["majority"]["classes"]["train"] < 3


def test_class_that_comes_late_is_warned_of_in_splits_by_time(workdir: Path) -> None:
    rows = [f"{day},{day % 7},{'new' if day > 80 else ('old', 'older')[day % 2]}" for day in range(100)]
    Path("visits.csv").write_text("\n".join(["day,dose,kind", *rows]))
    words = ["data=csv", "data.path=visits.csv", "data.target=kind", "data.order=day", "data.inputs=[dose,day]"]
    line = "the train split lacks class 'new'; the val split lacks class 'new'; the test split lacks class 'older'"
    with pytest.warns(TargetWarning, match="data csv: the train split lacks class 'new'"):
        record = harness.run([*LINE, *words, "batch_size=16"])
    assert (record.status, record.warnings) == ("completed", [line])


STRATIFIED = (
    "bars_and_stripes", "blobs", "breast_cancer", "circles", "delay", "digits", "iris", "majority", "mean", "moons",
    "order", "parity", "planted_pattern", "ring_mixture", "sklearn_load_wine", "sklearn_make_classification", "spike",
    "spirals", "wine", "xor",
)  # fmt: skip


@pytest.mark.parametrize("name", STRATIFIED)
def test_built_in_data_keeps_the_share_of_each_class(name: str) -> None:
    counts = split_counts(data(name))
    assert counts is not None
    sizes, shares = counts.sum(1, keepdim=True), counts.sum(0) / counts.sum()
    assert bool(((counts - sizes * shares).abs() <= 2).all()), counts  # one for each rounding
    assert sizes.flatten().tolist() == [len(data(name).part(split)) for split in SPLITS]  # type: ignore[arg-type]
