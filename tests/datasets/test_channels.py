"""Tests of images with channels last: detected, and refused, moved, or kept on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import harness
from harness.config.composition import compose
from harness.config.settings import Split
from harness.datasets import channels
from harness.datasets.channels import channels_last, check_channels
from harness.datasets.dataset import Dataset, Part, Samples
from harness.datasets.loading import load
from harness.datasets.remarks import TargetWarning
from harness.execution.preparation import prepare
from harness.system.errors import HarnessError

G = torch.Generator().manual_seed(0)
BYTES = torch.randint(0, 256, (40, 10, 8, 3), generator=G).float()
LOOK = r"look like images with the channels last, but harness expects \[channels, height, width\]"


def dataset(x: Any) -> Dataset:
    part: Part = Samples(x, torch.arange(len(x)) % 2)
    return Dataset(part, part, part, target="class", classes=("a", "b"))


@pytest.mark.parametrize("count", [1, 3, 4])
@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_pixels_with_channels_last_are_detected(count: int, scale: float) -> None:
    assert channels_last(dataset(BYTES[..., :1].expand(-1, -1, -1, count) * scale))


@pytest.mark.parametrize(
    "x",
    [
        BYTES.movedim(-1, 1),
        BYTES[..., :2],
        BYTES[:, :7],
        BYTES[:, :, :7],
        BYTES.mean(-1),
        BYTES.flatten(1),
        BYTES - 1,
        BYTES + 1,
        BYTES / 100,
        torch.rand(9, 1, 8, 8, generator=G),
    ],
    ids=["first", "two", "low", "narrow", "sequences", "vectors", "negative", "over 255", "real", "digits"],
)
def test_other_inputs_are_not_detected(x: Any) -> None:
    assert not channels_last(dataset(x))


def test_value_late_in_the_data_counts() -> None:
    x = torch.zeros(5000, 8, 8, 3)
    x[-1, 0, 0, 0] = -0.5
    assert not channels_last(dataset(x))


@pytest.mark.parametrize(
    ("chosen", "transforms"),
    [(["auto"], "channels_first,auto"), (["robust", "whiten"], "channels_first,robust,whiten")],
)
def test_refusal_names_the_transform(chosen: list[str], transforms: str) -> None:
    with pytest.raises(HarnessError, match=rf"^data d: inputs \[10, 8, 3\] {LOOK}: write 'transform=\[{transforms}\]'"):
        check_channels(dataset(BYTES), "d", dict.fromkeys(chosen))


@pytest.mark.parametrize("chosen", [["channels_first"], ["channels_first", "auto"], ["flatten", "standardize"]])
def test_moved_or_flattened_images_pass(chosen: list[str]) -> None:
    assert check_channels(dataset(BYTES), "d", dict.fromkeys(chosen)) is None


def npz(path: Path) -> list[str]:
    np.savez(path, x=BYTES.numpy().astype(np.uint8), y=np.arange(40) % 2)
    return ["data=npz", f"data.path={path}", "split.stratify=false"]


@pytest.mark.parametrize("held", ["true", "false"])
def test_images_with_channels_last_in_memory_and_in_files(held: str, workdir: Path) -> None:
    words = [*npz(workdir / "i.npz"), f"data.in_memory={held}", f"cache_dir={workdir / 'kept'}"]
    with pytest.raises(HarnessError, match=rf"^data npz: inputs \[10, 8, 3\] {LOOK}"):
        prepare(compose(words))
    loaded = load(compose([*words, "transform=[channels_first,auto]"]).values)
    assert list(loaded.transform) == ["channels_first", "standardize"]
    assert loaded.dataset.inputs == (3, 10, 8)
    x = torch.stack([loaded.dataset.train[i][0] for i in range(4)]) if held == "false" else loaded.dataset.train.x  # type: ignore[index, union-attr]
    for transform in loaded.dataset.transforms:
        x = transform(x)
    if held == "true":
        np.testing.assert_allclose(x.mean((0, 2, 3)), np.zeros(3), rtol=0, atol=1e-5)
    assert tuple(x.shape[1:]) == (3, 10, 8)


def test_empty_transform_keeps_channels_last_with_a_warning(workdir: Path) -> None:
    with pytest.warns(TargetWarning, match=rf"^data npz: inputs \[10, 8, 3\] {LOOK}; transform=\[\] keeps them"):
        record = harness.run([*npz(workdir / "i.npz"), "transform=[]", "epochs=1", "batch_size=8", "diagnostic=[]"])
    assert record.status == "completed"


def test_torch_images_that_are_read_later_are_checked(monkeypatch: pytest.MonkeyPatch, workdir: Path) -> None:
    def images(split: Split, generator: torch.Generator, cache_dir: Path) -> Dataset:
        pairs = TensorDataset(BYTES.byte(), torch.arange(40) % 2)
        return harness.from_torch(
            pairs, split=split, generator=generator, cache_dir=cache_dir, classes=("a", "b"), digest="d"
        )

    monkeypatch.setattr(
        "harness.datasets.loading.component", lambda kind, node, **offers: _made(images, kind, node, offers)
    )
    monkeypatch.setattr(channels, "SAMPLES", 5)
    with pytest.raises(HarnessError, match=LOOK):
        load(compose([]).values)
    loaded = load(compose(["transform=[channels_first,auto]"]).values)
    assert (list(loaded.transform), loaded.dataset.inputs) == (["channels_first"], (3, 10, 8))


def _made(images: Any, kind: str, node: Any, offers: dict[str, Any]) -> Any:
    from harness.registry.instantiate import component

    return images(**offers) if kind == "data" else component(kind, node, **offers)
