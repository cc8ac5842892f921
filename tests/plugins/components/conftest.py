"""Local replacements of downloads: small files of the same format, so that no test needs a network."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest

from harness_components.data.files import download
from harness_components.data.files.fetch import Source

TRAIN, TEST = 50, 20  # images


def idx(array: np.ndarray) -> bytes:
    """Return an array in the format of MNIST's files."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def images(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training images and classes, test images and classes."""
    rng = np.random.default_rng(sum(map(ord, name)))
    shape = (3, 32, 32) if name == "cifar10" else (28, 28)
    x = rng.integers(0, 256, (TRAIN + TEST, *shape), dtype=np.uint8)
    y = (np.arange(TRAIN + TEST) % 10).astype(np.uint8)
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


def _archive(arrays: tuple[np.ndarray, ...]) -> bytes:
    x, y, test_x, test_y = arrays
    half = TRAIN // 2
    batches = {
        "data_batch_1": (x[:half], y[:half]),
        "data_batch_2": (x[half:], y[half:]),
        "test_batch": (test_x, test_y),
    }
    result = io.BytesIO()
    with tarfile.open(fileobj=result, mode="w:gz") as archive:
        for name, content in [("readme.html", b"<html>")] + [
            (f"{name}.bin", np.column_stack([label, image.reshape(len(image), -1)]).tobytes())
            for name, (image, label) in batches.items()
        ]:
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return result.getvalue()


@pytest.fixture(scope="session")
def small_sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Source, ...]]:
    """Replace the sources of `data_download` by small local files."""
    root = tmp_path_factory.mktemp("elsewhere")
    result: dict[str, tuple[Source, ...]] = {}
    for name, sources in download.SOURCES.items():
        arrays = images(name)
        contents = [_archive(arrays)] if len(sources) == 1 else [gzip.compress(idx(array)) for array in arrays]
        result[name] = tuple(
            _placed(root / name / s.name, content) for s, content in zip(sources, contents, strict=True)
        )
    return result


def _placed(path: Path, content: bytes) -> Source:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return Source(path.as_uri(), hashlib.md5(content).hexdigest())


@pytest.fixture(autouse=True)
def nothing_is_downloaded(small_sources: dict[str, tuple[Source, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SOURCES", small_sources)
