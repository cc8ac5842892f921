"""A data set that is not in memory: each sample is made when it is asked for, from its place alone."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor


class Stripes(torch.utils.data.Dataset):
    """`size` samples of one split: (x [16], class)."""

    def __init__(self, seed: int, split: str, size: int) -> None:
        self.seed, self.split, self.size = seed, split, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not 0 <= index < self.size:
            raise IndexError(index)
        place = torch.Generator().manual_seed(zlib.crc32(f"{self.seed} {self.split} {index}".encode()))
        label = index % 2
        row, column = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
        wave = torch.sin(1.5 * (row + column if label else row - column))
        return (wave + 0.3 * torch.randn(4, 4, generator=place)).flatten(), label
