"""The members' data: held once where it is the same in several of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from harness.datasets.dataset import SPLITS, Dataset, Samples
from harness.training.vectorized.lifting import NotStackable

Pair = tuple[Tensor, Tensor]


class StackedData:
    """The distinct data sets of K members, one after the other: {split: (x [sets, n, ...], y [sets, n, ...])}.

    `drawn(member, split)` tells which samples are evaluated together, [T, S], or None. Targets keep their precision
    where they are `exact`. Raises NotStackable if the data sets differ in shape or are not in memory.
    """

    def __init__(
        self,
        data: Sequence[Dataset],
        dtype: torch.dtype,
        device: torch.device,
        drawn: Callable[[int, str], Tensor | None],
        exact: bool = False,
    ) -> None:
        sets = list({id(dataset): dataset for dataset in data}.values())
        places = {id(dataset): place for place, dataset in enumerate(sets)}
        self.members = torch.tensor([places[id(dataset)] for dataset in data], device=device)
        self.parts: dict[str, Pair] = {}
        for split in SPLITS:
            pairs = [part for dataset in sets if isinstance(part := dataset.part(split), Samples)]
            if len(pairs) < len(sets):
                raise NotStackable("the data is not in memory")
            if len({(part.x.shape, part.y.shape) for part in pairs}) > 1:
                raise NotStackable("the data sets differ in shape")
            self.parts[split] = _stacked(pairs, dtype, device, exact)
        owners = [next(m for m, dataset in enumerate(data) if dataset is one) for one in sets]
        self.tuples: dict[str, Tensor] = {}  # [sets, T, S]
        for split in ("val", "test"):
            found = [index for owner in owners if (index := drawn(owner, split)) is not None]
            if found:
                self.tuples[split] = torch.stack(found).to(device)
        self.point(0)

    def point(self, spare: int) -> None:
        """Which set each row of the stack sees; the spare rows see the first member's."""
        self.rows = torch.cat([self.members, self.members[:1].expand(spare)])

    def keep(self, index: list[int]) -> None:
        """Goes on with these rows."""
        self.rows = self.rows[index]

    def samples(self, split: str) -> int:
        """Samples of a split."""
        return self.parts[split][0].shape[1]

    def size(self, split: str) -> int:
        """What is evaluated of a split: its samples, or tuples of them."""
        return self.tuples[split].shape[1] if split in self.tuples else self.samples(split)

    def each(self, split: str) -> int:
        """Samples of one of these."""
        return self.tuples[split].shape[2] if split in self.tuples else 1

    def gather(self, index: Tensor, split: str = "train") -> Pair:
        """Samples [rows, n, ...] of indices [rows, n]."""
        x, y = self.parts[split]
        flat = index if len(x) == 1 else index + self.rows[:, None] * x.shape[1]
        flat = flat.reshape(-1)
        return tuple(t.flatten(0, 1).index_select(0, flat).unflatten(0, index.shape) for t in (x, y))

    def slice(self, split: str, first: int, count: int) -> Pair:
        """Samples, or those of tuples, first .. first + count - 1 of a split: [rows, count · S, ...]."""
        if split in self.tuples:
            index = self.tuples[split][:, first : first + count].flatten(1)
            return self.gather(index.expand(len(self.rows), -1) if len(index) == 1 else index[self.rows], split)
        x, y = self.parts[split]
        return self._of_rows(x[:, first : first + count], y[:, first : first + count])

    def take(self, split: str, index: Tensor) -> Pair:
        """Samples of the indices [n] of a split, for each row: [rows, n, ...]."""
        x, y = self.parts[split]
        return self._of_rows(x[:, index], y[:, index])

    def _of_rows(self, x: Tensor, y: Tensor) -> Pair:
        if len(x) == 1:
            return x.expand(len(self.rows), *x.shape[1:]), y.expand(len(self.rows), *y.shape[1:])
        return x[self.rows], y[self.rows]


def _stacked(pairs: Sequence[Samples], dtype: torch.dtype, device: torch.device, exact: bool) -> Pair:
    def placed(tensors: list[Tensor], kept: bool) -> Tensor:
        t = torch.stack(tensors) if len(tensors) > 1 else tensors[0][None]
        return t.to(device, dtype) if t.is_floating_point() and not kept else t.to(device)

    return placed([pair.x for pair in pairs], False), placed([pair.y for pair in pairs], exact)
