"""Image sets that are downloaded to `cache_dir` on first use."""

from __future__ import annotations

import math
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

import harness
from harness import Dataset, HarnessError, Samples, Split, divide_rest
from harness_components.data.files.fetch import Source, fetch, unpacked

_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
IDX_FILES = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
             "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")  # fmt: skip
_MNIST_MD5 = ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
              "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c")  # fmt: skip
_FASHION_MD5 = ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310")  # fmt: skip

SOURCES: dict[str, tuple[Source, ...]] = {
    "mnist": tuple(Source(_MNIST + name, md5) for name, md5 in zip(IDX_FILES, _MNIST_MD5, strict=True)),
    "fashion_mnist": tuple(Source(_FASHION + name, md5) for name, md5 in zip(IDX_FILES, _FASHION_MD5, strict=True)),
    "cifar10": (Source("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),),
}
FASHION = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_UNSIGNED_BYTE = 0x08  # idx's code for the type of its numbers


@harness.data(reference="LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998")
def mnist(split: Split, cache_dir: Path, generator: Generator) -> Dataset:
    """MNIST: 70,000 grey images of 28 x 28 pixels of handwritten digits in 10 classes; downloads 12 MB.

    Inputs `[1, 28, 28]` in [0, 1]. The test split is the published one of 10,000; validation comes from the other
    60,000.
    """
    return _idx("mnist", range(10), split, cache_dir, generator)


@harness.data(
    reference="Xiao, Rasul, Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine learning "
    "algorithms, 2017, arXiv:1708.07747"
)
def fashion_mnist(split: Split, cache_dir: Path, generator: Generator) -> Dataset:
    """Fashion-MNIST: 70,000 grey images of 28 x 28 pixels of clothes in 10 classes; downloads 31 MB.

    Inputs `[1, 28, 28]` in [0, 1]. The test split is the published one of 10,000; validation comes from the other
    60,000.
    """
    return _idx("fashion_mnist", FASHION, split, cache_dir, generator)


@harness.data(reference="Krizhevsky, Learning multiple layers of features from tiny images, 2009")
def cifar10(split: Split, cache_dir: Path, generator: Generator) -> Dataset:
    """CIFAR-10: 60,000 colour images of 32 x 32 pixels of animals and vehicles in 10 classes; downloads 170 MB.

    Inputs `[3, 32, 32]` in [0, 1]. The test split is the published one of 10,000; validation comes from the other
    50,000.
    """
    (source,) = SOURCES["cifar10"]
    path = fetch(source, Path(cache_dir) / "cifar10")
    batches: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:  # read member by member: nothing is extracted to disk
            for member in archive:
                name = Path(member.name).name
                if name.endswith(".bin") and (file := archive.extractfile(member)) is not None:
                    batches[name] = file.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise HarnessError(f"{path} is not a whole archive: {error}. Delete it, and it is downloaded again") from error
    test = batches.pop("test_batch.bin", b"")
    if not test or not batches:
        raise HarnessError(f"{path} holds no data_batch_*.bin and test_batch.bin")
    train = b"".join(batches[name] for name in sorted(batches))
    return _published_split(_records(train, path), _records(test, path), CIFAR, split, generator)


def _records(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images [N, 3, 32, 32] and classes [N] of CIFAR records: a byte for the class, then red, green and blue."""
    row = 1 + 3 * 32 * 32
    if len(content) % row:
        raise HarnessError(f"{path}: expected records of {row} bytes, got {len(content)} bytes")
    table = np.frombuffer(content, np.uint8).reshape(-1, row)
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0]


def _idx(name: str, classes: Sequence[object], split: Split, cache_dir: Path, generator: Generator) -> Dataset:
    files = [fetch(source, Path(cache_dir) / name) for source in SOURCES[name]]
    x, y, test_x, test_y = (read_idx(unpacked(path), path) for path in files)
    return _published_split((x[:, None], y), (test_x[:, None], test_y), classes, split, generator)


def read_idx(content: bytes, path: Path) -> np.ndarray:
    """Return the array of an idx file: two zeros, type, number of dimensions, dimensions (big-endian), values."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise HarnessError(f"{path} is not an idx file of unsigned bytes")
    dimensions = content[3]
    start = 4 + 4 * dimensions
    shape = struct.unpack(f">{dimensions}I", content[4:start]) if len(content) >= start else ()
    if len(shape) != dimensions or len(content) - start != math.prod(shape):
        raise HarnessError(f"{path} is cut short: shape {shape}, and {max(0, len(content) - start)} bytes")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _published_split(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    classes: Sequence[object],
    split: Split,
    generator: Generator,
) -> Dataset:
    """Build a Dataset with the published test split; validation takes its share of the other samples."""
    n = len(train[0])
    if n != len(train[1]) or len(test[0]) != len(test[1]):
        raise HarnessError(f"{n} and {len(test[0])} images, but {len(train[1])} and {len(test[1])} classes")
    counts = {"train": n, "test": len(test[0])}
    drawn = divide_rest(counts, split, generator, torch.as_tensor(train[1].astype(np.int64)))

    def samples(images: np.ndarray, labels: np.ndarray, index: Tensor | None = None) -> Samples:
        if index is not None:
            images, labels = images[index.numpy()], labels[index.numpy()]
        return Samples(_scaled(images), torch.as_tensor(labels.astype(np.int64)))

    return Dataset(
        samples(*train, drawn["train"]),
        samples(*train, drawn["val"]),
        samples(*test),
        target="class",
        classes=tuple(str(c) for c in classes),
    )


def _scaled(images: np.ndarray) -> Tensor:
    """Return bytes as numbers in [0, 1]."""
    return torch.as_tensor(images.astype(np.float32)).div_(255)
