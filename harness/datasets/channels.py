"""Refuse images with the channels last, whose rows would be taken for channels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from harness.datasets.dataset import Dataset
from harness.datasets.sampling import first_samples
from harness.system.errors import HarnessError

CHANNELS = (1, 3, 4)  # grey, colour, colour with transparency
MIN_SIZE = 8  # smallest number of rows and columns of an image
SAMPLES = 256  # samples to inspect of data that is read sample by sample
FIRST = ("channels_first", "flatten")  # transforms after which the order of the axes is right or does not matter


def check_channels(dataset: Dataset, name: str, chosen: dict[str, Any]) -> str | None:
    """Refuse images whose channels are the last axis, unless a transform moves them.

    Args:
        dataset: The data before transforms.
        name: Name of the data, for the message.
        chosen: The transforms of the config, which may hold `auto`; empty to keep the data unchanged.

    Returns:
        A remark if such images are kept unchanged because no transform is chosen.

    Raises:
        HarnessError: If the samples look like [height, width, channels].
    """
    if "channels_first" in chosen or next(iter(chosen), "") in FIRST or not channels_last(dataset):
        return None
    looks = (
        f"inputs {list(dataset.inputs)} look like images with the channels last, but harness expects "
        "[channels, height, width]"
    )
    override = f"'transform=[{','.join(('channels_first', *chosen))}]'"
    if not chosen:
        return f"{looks}; transform=[] keeps them as they are, {override} moves the channels"
    raise HarnessError(f"data {name}: {looks}: write {override}, or 'transform=[]' to keep them as they are")


def channels_last(dataset: Dataset) -> bool:
    """Return True if samples have the shape of images [height, width, channels] and the values of pixels.

    Pixels are whole numbers in [0, 255], or any numbers in [0, 1].
    """
    shape = dataset.inputs
    if len(shape) != 3 or shape[2] not in CHANNELS or min(shape[:2]) < MIN_SIZE or dataset.vocabulary:
        return False
    low, high, whole = math.inf, -math.inf, True
    for x in _pixels(dataset):
        low, high = min(low, x.min().item()), max(high, x.max().item())
        whole = whole and (not x.is_floating_point() or bool((x == x.round()).all()))
        if low < 0 or high > (255 if whole else 1):
            return False
    return True


def _pixels(dataset: Dataset) -> Iterator[Tensor]:
    return dataset.chunks() if dataset.passed_over else iter([first_samples(dataset, SAMPLES)[0]])
