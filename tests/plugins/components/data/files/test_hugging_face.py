"""Tests of data sets of the Hugging Face library, written here in its formats: nothing is fetched."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

os.environ["HF_HUB_OFFLINE"] = "1"  # before the library is imported: unknown names must not be looked up

import datasets

import harness
from harness.datasets import torch_adapter
from harness.datasets.dataset import SPLITS, digest, size
from harness.datasets.validation import validate
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data

N = 40
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).round(3)


def rows(first=0, last=N):
    """A data set with several columns."""
    return datasets.Dataset.from_dict(
        {
            "a": X[first:last, 0].tolist(),
            "b": list(range(first, last)),
            "vector": X[first:last].tolist(),
            "grid": np.stack([np.outer(x, x[:2]) for x in X[first:last]]).tolist(),
            "ragged": [[1.0] * (1 + i % 2) for i in range(first, last)],
            "word": ["cat" if i % 3 else "dog" for i in range(first, last)],
            "label": [i % 2 for i in range(first, last)],
            "half": [i / 2 for i in range(first, last)],
            "gap": [None if i == 7 else float(i) for i in range(first, last)],
        },
        features=datasets.Features(
            {
                "a": datasets.Value("float64"),
                "b": datasets.Value("int32"),
                "vector": datasets.List(datasets.Value("float32"), length=3),
                "grid": datasets.Array2D((3, 2), "float32"),
                "ragged": datasets.List(datasets.Value("float32")),
                "word": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["even", "odd"]),
                "half": datasets.Value("float64"),
                "gap": datasets.Value("float64"),
            }
        ),
    )


@pytest.fixture
def folder(tmp_path):
    """A data set with its own splits, as the library saves it."""
    parts = {"train": rows(0, 24), "validation": rows(24, 30), "test": rows(30)}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "set")
    return tmp_path / "set"


def taken(folder, **settings):
    more = {"path": str(folder), "inputs": ["vector"], "target": "label"}
    dataset = data("hugging_face", more | settings, cache_dir=folder.parent / "cache")
    validate(dataset, "hugging_face")
    return dataset


def test_own_splits_are_kept_and_others_drawn_from_training(folder):
    own = taken(folder)
    assert (own.target, own.classes, own.inputs) == ("class", ("even", "odd"), (3,))
    for split, (first, last) in zip(SPLITS, ((0, 24), (24, 30), (30, N)), strict=True):
        np.testing.assert_array_equal(own.part(split).x, X[first:last].astype(np.float32))
        assert own.part(split).y.tolist() == [i % 2 for i in range(first, last)]
    drawn = taken(folder, val=None)
    assert [size(drawn.part(split)) for split in SPLITS] == [20, 4, 10]
    assert torch.equal(drawn.test.x, own.test.x)
    drawn = taken(folder, val=None, test=None)
    assert sum(size(drawn.part(split)) for split in SPLITS) == 24
    other = taken(folder, train="test", val=None, test="train")
    assert torch.equal(other.test.x, own.train.x)


def test_numeric_columns_are_joined_and_arrays_keep_their_shape(folder):
    joined = taken(folder, inputs=["a", "vector", "b"])
    expected = np.column_stack([X[:24, 0], X[:24].astype(np.float32), np.arange(24)])  # the vectors are float32 there
    np.testing.assert_array_equal(joined.train.x, expected)
    assert taken(folder, inputs=["a"]).inputs == (1,)
    grid = taken(folder, inputs=["grid"])
    assert grid.inputs == (3, 2)
    np.testing.assert_allclose(grid.train.x[5], np.outer(X[5], X[5, :2]), rtol=1e-6, atol=1e-6)


def test_target_type_follows_its_feature(folder):
    words = taken(folder, target="word")
    assert (words.target, words.classes) == ("class", ("cat", "dog"))
    assert words.train.y.tolist() == [0 if i % 3 else 1 for i in range(24)]
    for name, width in (("half", 1), ("vector", 3)):
        real = taken(folder, target=name, inputs=["b"])
        assert (real.target, real.width) == ("real", width)
    assert taken(folder, target="label", kind="real").target == "real"
    np.testing.assert_array_equal(taken(folder, target="half").train.y[:, 0], np.arange(24) / 2)


def test_json_parquet_and_csv_files_are_read(tmp_path):
    table = [{"a": float(x[0]), "b": i, "kind": "pq"[i % 2]} for i, x in enumerate(X)]
    for name, write in (
        ("json", lambda p: p.write_text("\n".join(map(json.dumps, table)))),
        ("parquet", lambda p: datasets.Dataset.from_list(table).to_parquet(p)),
        ("csv", lambda p: datasets.Dataset.from_list(table).to_csv(p)),
    ):
        (tmp_path / name).mkdir()
        write(tmp_path / name / f"train.{name}")
        dataset = taken(tmp_path / name, inputs=["a", "b"], target="kind")
        assert (dataset.classes, sum(size(dataset.part(split)) for split in SPLITS)) == (("p", "q"), N)
        first = digest(dataset)
        table[0]["b"] += 1  # other content under the same name is another data set
        write(tmp_path / name / f"train.{name}")
        assert digest(taken(tmp_path / name, inputs=["a", "b"], target="kind")) != first


def test_images_are_read_and_must_have_one_size(tmp_path):
    pixels = RNG.integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    for i, array in enumerate(pixels):
        place = tmp_path / "set" / "train" / ("left" if i % 2 else "right")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(place / f"{i:02}.png")
    whole = taken(tmp_path / "set", inputs=["image"])
    assert (whole.classes, whole.inputs) == (("left", "right"), (3, 6, 5))
    read = {(x * 255).round().to(torch.uint8).numpy().tobytes() for s in SPLITS for x in whole.part(s).x}
    assert read == {np.moveaxis(array, -1, 0).tobytes() for array in pixels}
    grey = taken(tmp_path / "set", inputs=["image"], colour=False, size=[3, 4])
    assert grey.inputs == (1, 3, 4)
    assert 0 < grey.train.x.min() < grey.train.x.max() < 1
    Image.fromarray(pixels[0][:4]).save(tmp_path / "set" / "train" / "left" / "small.png")
    with pytest.raises(HarnessError, match=r"images of \[3, 4, 5\] and \[3, 6, 5\]: .*data\.size"):
        taken(tmp_path / "set", inputs=["image"])
    with pytest.raises(HarnessError, match="'image' holds images, which cannot be joined"):
        taken(tmp_path / "set", inputs=["image", "label"])


def test_large_data_set_is_kept_in_files(folder, monkeypatch):
    inside = taken(folder, val=None)
    monkeypatch.setattr(torch_adapter, "LARGE", 10)
    outside = taken(folder, val=None)
    assert not outside.in_memory
    for split in SPLITS:
        part = outside.part(split)
        assert torch.equal(part.take(torch.arange(len(part)))[0], inside.part(split).x)
    assert digest(outside) == digest(taken(folder, val=None))


def test_unusable_settings_are_refused(folder, monkeypatch):
    for settings, message in (
        ({"path": ""}, r"data\.path must name a set"),
        ({"path": "no/such-set"}, "datasets cannot load 'no/such-set': "),
        ({"train": "trian"}, r"no split 'trian' \(data\.train\)\. Did you mean 'train'"),
        ({"val": "dev"}, r"no split 'dev' \(data\.val\)"),
        ({"inputs": ["vectr"]}, "no column 'vectr'. Did you mean 'vector'"),
        ({"target": "labl"}, "no column 'labl'. Did you mean 'label'"),
        ({"inputs": ["word"]}, "the column 'word' holds <U3, expected numbers or images"),
        ({"inputs": ["ragged"]}, "the column 'ragged' holds .* of different shapes or with gaps"),
        ({"inputs": ["gap"]}, "sample 7 of 'train' has an input that is missing or not finite"),
        ({"target": "gap"}, "the split 'train' has samples without a target"),
        ({"target": "word", "kind": "real"}, "holds no numbers"),
    ):
        with pytest.raises(HarnessError, match=message):
            taken(folder, **settings)
    unlabelled = rows(30).map(lambda row: {"label": -1})
    datasets.DatasetDict({"train": rows(0, 30), "test": unlabelled}).save_to_disk(folder.parent / "other")
    with pytest.raises(HarnessError, match=r"the split 'test' has samples without a target; data\.test=null"):
        taken(folder.parent / "other")
    assert size(taken(folder.parent / "other", test=None).test) == 6
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(HarnessError, match=r"pip install 'dl-harness\[hugging_face\]'"):
        taken(folder)


def test_hugging_face_data_trains(workdir):
    datasets.DatasetDict({"train": rows()}).save_to_disk(workdir / "set")
    line = ["data=hugging_face", "data.path=set", "data.inputs=[a,vector]", "data.target=label", "epochs=1"]
    record = harness.run([*line, "batch_size=8", "model.width=8", "model=mlp", "executor=in_process", "cache_dir=kept"])
    assert record.status == "completed"
    assert [record.data[split] for split in SPLITS] == [25, 7, 8]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("hint", ["int64", "float64"])
def test_numbers_that_float32_would_round_stay_distinct(tmp_path, hint, in_memory):
    """The data has 400 different times, of which float32 has a few."""
    seconds = (1_700_000_000 + 10 * np.arange(400)).tolist()
    features = datasets.Features({"t": datasets.Value(hint), "v": datasets.List(datasets.Value(hint), length=2)})
    rows = {"t": seconds, "v": [[s, s + 1] for s in seconds]}
    datasets.Dataset.from_dict(rows, features).save_to_disk(tmp_path / "set")
    for inputs, width in ((["t"], 1), (["v"], 2), (["t", "v"], 3)):
        dataset = taken(tmp_path / "set", inputs=inputs, target="t", in_memory=in_memory)
        blocks = [dataset.train.x] if in_memory else list(dataset.train.blocks(dataset.train.x))
        x = torch.cat([torch.as_tensor(block) for block in blocks])
        assert x.dtype == torch.float64
        assert x.shape[1] == width
        assert len(x[:, 0].unique()) == size(dataset.train)
