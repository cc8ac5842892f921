import gzip
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.datasets.dataset import SPLITS, digest, overlap
from harness.datasets.validation import validate
from harness.system.errors import HarnessError
from harness_components.data.files.download import read_idx
from tests.plugins.components.conftest import TEST, TRAIN, idx, images
from tests.plugins.components.helpers import data

NAMES = {"mnist": (1, 28, 28), "fashion_mnist": (1, 28, 28), "cifar10": (3, 32, 32)}


def labelled(*parts):
    """Return {image as bytes: class} of splits."""
    return {
        (image * 255).round().to(torch.uint8).numpy().tobytes(): int(label)
        for part in parts
        for image, label in zip(part.x, part.y, strict=True)
    }


@pytest.mark.parametrize("name", NAMES)
def test_images_are_complete_with_classes_and_test_split(name, tmp_path):
    dataset = data(name, cache_dir=tmp_path, val=0.1)
    validate(dataset, name)
    x, y, test_x, test_y = images(name)
    assert dataset.inputs == NAMES[name]
    assert len(dataset.classes) == 10
    assert [len(dataset.part(split)) for split in SPLITS] == [TRAIN - 5, 5, TEST]
    expected = {image.tobytes(): int(label) for image, label in zip(x, y, strict=True)}
    assert labelled(dataset.train, dataset.val) == expected
    np.testing.assert_array_equal((dataset.test.x * 255).round().numpy().reshape(test_x.shape), test_x)
    np.testing.assert_array_equal(dataset.test.y, test_y)
    assert 0 <= dataset.train.x.min() < dataset.train.x.max() <= 1
    assert overlap(dataset) == 0


@pytest.mark.parametrize("name", NAMES)
def test_validation_has_the_share_of_each_class_unless_asked_otherwise(name, tmp_path):
    counts = [
        data(name, cache_dir=tmp_path, val=0.2, stratify=stratify).val.y.bincount(minlength=10).tolist()
        for stratify in ("auto", True, False)
    ]
    assert counts[0] == counts[1] == [1] * 10
    assert counts[2] != counts[0]


@pytest.mark.parametrize("name", NAMES)
def test_split_seed_draws_validation_and_keeps_the_test_split(name, tmp_path):
    one, other = (data(name, seed=seed, cache_dir=tmp_path) for seed in (1, 2))
    assert digest(one) == digest(data(name, seed=1, cache_dir=tmp_path))
    assert labelled(one.val) != labelled(other.val)
    assert torch.equal(one.test.x, other.test.x)


def test_fetched_data_needs_no_network(tmp_path, monkeypatch):
    first = data("cifar10", cache_dir=tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", None)
    assert digest(data("cifar10", cache_dir=tmp_path)) == digest(first)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4)])
def test_read_idx_reads_any_number_of_dimensions(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(read_idx(idx(array), Path("a")), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>", "is not an idx file of unsigned bytes"),
        (b"", "is not an idx file of unsigned bytes"),
        (b"\0\0\x0d\x01\0\0\0\x01abcd", "is not an idx file of unsigned bytes"),
        (idx(np.zeros((3, 4)))[:-1], "a.gz is cut short: shape (3, 4), and 11 bytes"),
        (idx(np.zeros((3, 4)))[:9], "is cut short"),
    ],
)
def test_malformed_idx_file_is_refused(content, message):
    with pytest.raises(HarnessError, match=re.escape(message)):
        read_idx(content, Path("a.gz"))


def test_inconsistent_mnist_files_are_refused(tmp_path):
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(3))))
    with pytest.raises(HarnessError, match="50 and 20 images, but 3 and 20 classes"):
        data("mnist", cache_dir=tmp_path)


@pytest.mark.parametrize("members", [{}, {"test_batch.bin": b"abc", "data_batch_1.bin": bytes(3073)}])
def test_archive_of_other_content_is_refused(members, tmp_path):
    (tmp_path / "cifar10").mkdir()
    with tarfile.open(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(HarnessError, match="records of 3073 bytes" if members else "holds no data_batch"):
        data("cifar10", cache_dir=tmp_path)


def test_broken_archive_is_refused(tmp_path):
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(b"<html>")
    with pytest.raises(HarnessError, match="is not a whole archive"):
        data("cifar10", cache_dir=tmp_path)
