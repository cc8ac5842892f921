"""The data of a stack: one copy of each distinct data set, and the data set of each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from harness.datasets.dataset import SPLITS, Dataset, Samples
from harness.training.vectorized.lifting import NotStackable

Pair = tuple[Tensor, Tensor]


class StackedData:
    """The distinct data sets of K runs: for each split, inputs and targets `[sets, n, ...]`.

    Args:
        data: The data set of each run; runs may share one.
        dtype: The precision of the inputs.
        device: The device of the samples.
        tuples: Return the samples of a run's split that are evaluated together, `[T, S]`, or None; called with the
            place of the run and the split.
        exact: Keep the precision of the targets.
        evaluated: The splits that are evaluated.

    Raises:
        NotStackable: If the data sets differ in shape or are not in memory.
    """

    def __init__(
        self,
        data: Sequence[Dataset],
        dtype: torch.dtype,
        device: torch.device,
        tuples: Callable[[int, str], Tensor | None],
        exact: bool = False,
        evaluated: Sequence[str] = ("val", "test"),
    ) -> None:
        sets = list({id(dataset): dataset for dataset in data}.values())
        places = {id(dataset): place for place, dataset in enumerate(sets)}
        self.set_of_run = torch.tensor([places[id(dataset)] for dataset in data], device=device)
        self.parts: dict[str, Pair] = {}
        for split in SPLITS:
            pairs = [part for dataset in sets if isinstance(part := dataset.part(split), Samples)]
            if len(pairs) < len(sets):
                raise NotStackable("the data is not in memory")
            if len({(part.x.shape, part.y.shape) for part in pairs}) > 1:
                raise NotStackable("the data sets differ in shape")
            self.parts[split] = _stack(pairs, dtype, device, exact)
        first_runs = [next(run for run, dataset in enumerate(data) if dataset is distinct) for distinct in sets]
        self.tuples: dict[str, Tensor] = {}  # [sets, T, S]
        for split in evaluated:
            drawn = [index for run in first_runs if (index := tuples(run, split)) is not None]
            if drawn:
                self.tuples[split] = torch.stack(drawn).to(device)
        self.assign_rows(0)

    def assign_rows(self, padding: int) -> None:
        """Assign each row of the stack to its data set; padding rows have that of the first run."""
        self.rows = torch.cat([self.set_of_run, self.set_of_run[:1].expand(padding)])

    def keep(self, index: list[int]) -> None:
        """Continue with these rows only."""
        self.rows = self.rows[index]

    def samples(self, split: str) -> int:
        """Return the number of samples of a split."""
        return self.parts[split][0].shape[1]

    def size(self, split: str) -> int:
        """Return the number of items that are evaluated of a split: samples, or tuples of samples."""
        return self.tuples[split].shape[1] if split in self.tuples else self.samples(split)

    def each(self, split: str) -> int:
        """Return the number of samples in an item."""
        return self.tuples[split].shape[2] if split in self.tuples else 1

    def gather(self, index: Tensor, split: str = "train") -> Pair:
        """Return the samples `[rows, n, ...]` of indices `[rows, n]`."""
        x, y = self.parts[split]
        flat = index if len(x) == 1 else index + self.rows[:, None] * x.shape[1]
        flat = flat.reshape(-1)
        return tuple(t.flatten(0, 1).index_select(0, flat).unflatten(0, index.shape) for t in (x, y))

    def slice(self, split: str, first: int, count: int) -> Pair:
        """Return the samples of items `first` to `first + count - 1` of a split, `[rows, count · S, ...]`."""
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


def _stack(pairs: Sequence[Samples], dtype: torch.dtype, device: torch.device, exact: bool) -> Pair:
    def stacked(tensors: list[Tensor], keep_dtype: bool) -> Tensor:
        t = torch.stack(tensors) if len(tensors) > 1 else tensors[0][None]
        return t.to(device, dtype) if t.is_floating_point() and not keep_dtype else t.to(device)

    return stacked([pair.x for pair in pairs], False), stacked([pair.y for pair in pairs], exact)
