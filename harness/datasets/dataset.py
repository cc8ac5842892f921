"""The data set that a data component returns, with functions that build, divide and validate it."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.utils.data
from torch import Tensor

from harness.config.settings import Split
from harness.datasets.disk import DiskSamples
from harness.datasets.precision import exact
from harness.datasets.stratify import shares, strata
from harness.system.errors import HarnessError

Target = Literal["class", "labels", "real", "surface"]
SPLITS = ("train", "val", "test")
"""The names of the splits."""

CHUNK_BYTES = 1 << 19  # size of the inputs in one chunk, for computations over all of them


@dataclass(frozen=True)
class Samples:
    """Samples in memory.

    Real numbers are float32, or float64 if float32 would round them. Transformed inputs have the precision of the run;
    targets stay exact.

    Attributes:
        x: Inputs, `[N, ...]`.
        y: Targets: classes (int64) `[N]`, or labels or real numbers `[N, D]`.
    """

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


Part = Samples | torch.utils.data.Dataset
"""A split: samples in memory, or a map-style torch Dataset of (x, y)."""

Divided = dict[str, Tensor]
"""The indices of the samples of each split, `{split: int64 [n]}`."""


@dataclass(frozen=True)
class Dataset:
    """The three splits of a data set.

    A split is `Samples` in memory, `harness.disk.DiskSamples` in files, or a map-style torch Dataset of (x, y). The
    last needs a `digest`, and `outputs` for real targets.

    Args:
        train: The training split.
        val: The validation split.
        test: The test split.
        target: "class" (y: int64 `[N]`, indices of `classes`), "labels" (y: float `[N, L]` of 0 and 1, one for each of
            `classes`), "real" (y: float `[N, D]`), or "surface" for a function to minimise.
        classes: The names of classes or labels.
        vocabulary: The words that integer inputs are indices of.
        analogies: Indices of words (a, b, c, d) with a - b + c = d.
        digest: A hash that changes with the data, for splits that are not in memory.
        outputs: The number of real targets, for splits that are not in memory.
        workers: The number of processes that read samples ahead.
        repeats: True if the same inputs belong in several splits, such as words.
        remarks: Lines for the user about how the data was read.
        surface: The function to minimise, from `[..., D]` to `[...]`.
        transforms: Transforms of splits that are not in memory.
        columns: The names of the inputs of a table.
        encode: Converts the rows of a table to inputs `[N, D]`.
        left_out: Unused columns of a table, and why.
        applied: The transforms of the run.
        given: The shape of a sample before transforms, if known.
    """

    train: Part
    val: Part
    test: Part
    target: Target
    classes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()
    analogies: tuple[tuple[int, int, int, int], ...] = ()
    digest: str = ""
    outputs: int = 0
    workers: int = 0
    repeats: bool = False
    remarks: tuple[str, ...] = ()
    surface: Callable[[Tensor], Tensor] | None = field(default=None, repr=False)
    transforms: tuple[Callable[[Tensor], Tensor], ...] = field(default=(), repr=False)
    columns: tuple[str, ...] = ()
    encode: Callable[[Any], np.ndarray] | None = field(default=None, repr=False)
    left_out: dict[str, str] = field(default_factory=dict)
    applied: tuple[Callable[[Tensor], Tensor], ...] = field(default=(), repr=False)
    given: tuple[int, ...] = ()

    def part(self, split: str) -> Part:
        """Return a split.

        Args:
            split: "train", "val" or "test".
        """
        found: Part = getattr(self, split)
        return found

    @property
    def in_memory(self) -> bool:
        """True if every split is `Samples`."""
        return all(isinstance(self.part(split), Samples) for split in SPLITS)

    @property
    def passed_over(self) -> bool:
        """True if transforms can be fitted: the training inputs are in memory or in harness's own files."""
        return self.in_memory or isinstance(self.train, DiskSamples)

    @property
    def real_inputs(self) -> bool:
        """True if inputs are real numbers or unknown, False if they are integers (tokens)."""
        if isinstance(self.train, DiskSamples):
            return self.train.x.dtype.kind == "f"
        return not isinstance(self.train, Samples) or self.train.x.is_floating_point()

    def chunks(self) -> Iterator[Tensor]:
        """Yield the training inputs `[n, ...]` in parts, with the transforms so far."""
        if isinstance(self.train, Samples):
            yield from row_chunks(self.train.x)
            return
        assert isinstance(self.train, DiskSamples)
        for x in self.train.blocks(self.train.x):
            for transform in self.transforms:
                x = transform(x)
            yield x

    def target_chunks(self) -> Iterator[Tensor]:
        """Yield the training targets in parts."""
        assert isinstance(self.train, Samples | DiskSamples)
        return iter([self.train.y]) if isinstance(self.train, Samples) else self.train.blocks(self.train.y)

    @property
    def words(self) -> int | None:
        """The number of words that inputs are indices of, or None without a vocabulary."""
        return None if self.real_inputs or not self.vocabulary else len(self.vocabulary)

    @property
    def inputs(self) -> tuple[int, ...]:
        """The shape of the input of one sample."""
        if isinstance(self.train, Samples):
            return tuple(self.train.x.shape[1:])
        x = torch.as_tensor(self.train[0][0])
        for transform in self.transforms:
            x = transform(x[None])[0]
        return tuple(x.shape)

    @property
    def width(self) -> int:
        """The number of classes or labels, or of real targets."""
        if self.target != "real":
            return len(self.classes)
        return int(self.train.y.shape[1]) if isinstance(self.train, Samples) else self.outputs

    @functools.cached_property
    def class_counts(self) -> Tensor | None:
        """The number of training samples of each class, `[C]`, or None if it is unknown."""
        if self.target != "class" or not isinstance(self.train, Samples | DiskSamples):
            return None
        counts = (torch.bincount(y, minlength=len(self.classes)) for y in self.target_chunks())
        return sum(counts, torch.zeros(len(self.classes), dtype=torch.int64))

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Dataset:
        """Return the data set with a function applied to its inputs.

        Args:
            function: From inputs `[n, ...]` to inputs `[n, ...]`.
        """
        if not self.in_memory:
            return replace(self, transforms=(*self.transforms, function), applied=(*self.applied, function))
        parts: dict[str, Any] = {}
        for split in SPLITS:
            part = self.part(split)
            assert isinstance(part, Samples)
            parts[split] = Samples(_by_rows(function, part.x), part.y)
        return replace(self, **parts, applied=(*self.applied, function))

    def transform(self, x: Tensor) -> Tensor:
        """Apply the transforms of the run to new inputs.

        Args:
            x: Inputs `[N, ...]` before transforms.
        """
        for function in self.applied:
            x = function(x)
        return x


def _by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return function(x), computed in chunks of rows so that temporary tensors stay small."""
    rows = row_chunks(x)
    first = function(next(rows))
    if len(first) == len(x):
        return first
    result = first.new_empty((len(x), *first.shape[1:]))
    result[: len(first)] = first
    start = len(first)
    for chunk in rows:
        result[start : start + len(chunk)] = function(chunk)
        start += len(chunk)
    return result


def row_chunks(x: Tensor) -> Iterator[Tensor]:
    """Return an iterator over views of consecutive rows, of about half a megabyte each."""
    return iter(x.split(max(1, CHUNK_BYTES // max(1, x[:1].nbytes))))


def size(part: Part) -> int:
    """Return the number of samples of a split.

    Args:
        part: Samples, or a torch Dataset with a length.
    """
    return len(part)  # type: ignore[arg-type]  # map-style by contract


def divide(n: int, split: Split, generator: torch.Generator, y: Tensor | None = None) -> Divided:
    """Divide n samples at random into three splits.

    The same n, seed and classes give the same division. The order within a split is random too.

    Args:
        n: The number of samples.
        split: The shares of validation and test, rounded up; training gets the rest.
        generator: The source of random numbers.
        y: Classes `[n]`, to give each split the same share of each class if `split.stratify` says so.

    Returns:
        The indices of each split.

    Raises:
        HarnessError: If no training samples are left, or `split.stratify=true` is impossible.
    """
    test, val = math.ceil(n * split.test), math.ceil(n * split.val)
    if n - test - val < 1:
        raise HarnessError(
            f"{n} samples are too few: split.val={split.val:g} and split.test={split.test:g} take {val} and {test} "
            "of them, and none is left to train on"
        )
    order = torch.randperm(n, generator=generator)
    if (groups := strata(y, split, test, val)) is not None:
        in_test = shares(groups[order], test)
        rest = order[~in_test]
        in_val = shares(groups[rest], val)
        parts = {"test": order[in_test], "val": rest[in_val], "train": rest[~in_val]}
        # shares takes the first samples of each class, so shuffle again: the rest would begin with few classes
        return {name: part[torch.randperm(len(part), generator=generator)] for name, part in parts.items()}
    return {"train": order[test + val :], "val": order[test : test + val], "test": order[:test]}


def from_arrays(
    x: Any,
    y: Any,
    split: Split,
    generator: torch.Generator,
    *,
    target: Target,
    classes: Sequence[Any] = (),
    parts: Divided | None = None,
    **more: Any,
) -> Dataset:
    """Make a Dataset of arrays.

    Args:
        x: Inputs `[N, ...]`.
        y: Targets `[N]` or `[N, D]`.
        split: The shares of the splits.
        generator: The source of random numbers for the division.
        target: "class", "labels" or "real".
        classes: The names of classes or labels; default: the integers in y.
        parts: The indices of each split, in place of a random division.
        **more: Other arguments of `Dataset`.

    Returns:
        A data set in memory.

    Raises:
        HarnessError: If the arrays cannot be divided.
    """
    inputs = exact(x)
    if target == "class":
        targets = torch.as_tensor(np.require(y, requirements=["C", "W"])).to(torch.int64).reshape(len(inputs))
        if not classes and len(targets):  # name the classes by the values
            values, targets = targets.unique(return_inverse=True)
            classes = values.tolist()
    else:
        targets = exact(y).reshape(len(inputs), -1)
    if parts is None:
        parts = divide(len(inputs), split, generator, targets if target == "class" else None)
    return from_parts(inputs, targets, parts, target=target, classes=classes, **more)


def divide_rest(counts: dict[str, int], split: Split, generator: torch.Generator, y: Tensor | None = None) -> Divided:
    """Complete the splits of a data set: draw missing ones from its training samples.

    Args:
        counts: The number of samples of each split that exists. Indices count through train, val and test.
        split: The shares of the splits to draw.
        generator: The source of random numbers.
        y: Classes `[N]` of all samples, to stratify the drawn splits.

    Returns:
        The indices of each split.
    """
    n = counts["train"]
    if len(counts) == len(SPLITS):
        parts = {"train": torch.arange(n)}
    else:
        val, test = (0.0 if name in counts else getattr(split, name) for name in ("val", "test"))
        drawn = Split(val=val, test=test, stratify=split.stratify)
        parts = divide(n, drawn, generator, None if y is None else y[:n])
    for name in ("val", "test"):
        if name in counts:
            parts[name] = torch.arange(n, n + counts[name])
            n += counts[name]
    return parts


def from_parts(
    x: Tensor, y: Tensor, parts: Divided, *, target: Target, classes: Sequence[Any] = (), **more: Any
) -> Dataset:
    """Return a Dataset of samples in memory.

    Args:
        x: Inputs of all samples, shape `[N, ...]`.
        y: Targets of all samples, shape `[N]` or `[N, D]`.
        parts: Indices of the samples of each split.
        target: Kind of the targets.
        classes: Names of the classes or labels.
        more: Other fields of the Dataset.
    """
    train, val, test = (Samples(x[parts[split]], y[parts[split]]) for split in SPLITS)
    return Dataset(train, val, test, target=target, classes=tuple(str(c) for c in classes), **more)


def from_stored(folder: Path, parts: Divided, *, target: Target, classes: Sequence[Any] = ()) -> Dataset:
    """Make a Dataset of samples in files.

    Args:
        folder: The folder that `harness.disk.write` filled.
        parts: The indices of each split.
        target: "class", "labels" or "real".
        classes: The names of classes or labels.

    Returns:
        A data set that reads batches from the files.
    """
    train, val, test = (DiskSamples(folder, parts[split]) for split in SPLITS)
    names = tuple(str(c) for c in classes)
    h = hashlib.sha256(repr((target, names, train.about["digest"])).encode())
    for split in SPLITS:
        h.update(repr((split, len(parts[split]))).encode() + parts[split].numpy().data.cast("B"))
    width = math.prod(train.y.shape)
    return Dataset(train, val, test, target=target, classes=names, digest=h.hexdigest()[:16], outputs=width)


def surface(function: Callable[[Tensor], Tensor], start: Sequence[float], minimum: Sequence[float]) -> Dataset:
    """Make a function to minimise, in place of data.

    Every split is one sample: the start is its input `[1, D]`, the minimum its target `[1, D]`.

    Args:
        function: From points `[..., D]` to values `[...]`.
        start: The start point, `[D]`.
        minimum: The lowest point, `[D]`.

    Returns:
        A data set with the target "surface".

    Raises:
        HarnessError: If start and minimum differ in length.
    """
    x, y = torch.tensor([list(start)], dtype=torch.float32), torch.tensor([list(minimum)], dtype=torch.float32)
    if x.shape != y.shape:
        raise HarnessError(f"the start has {x.shape[1]} coordinates, but the minimum has {y.shape[1]}")
    part = Samples(x, y)
    return Dataset(part, part, part, target="surface", repeats=True, surface=function)


def digest(dataset: Dataset) -> str:
    """Return the digest of a data set, 16 hex digits of its samples and names; of data not in memory, its own."""
    if not dataset.in_memory:
        return dataset.digest
    names = [field for field in (dataset.vocabulary, dataset.analogies, dataset.columns) if field]
    h = hashlib.sha256(repr((dataset.target, dataset.classes, *names)).encode())
    for split in SPLITS:
        part = dataset.part(split)
        assert isinstance(part, Samples)
        for tensor in (part.x, part.y):
            h.update(repr((split, tuple(tensor.shape), str(tensor.dtype))).encode())
            h.update(tensor.contiguous().numpy().data.cast("B") if tensor.numel() else b"")
    return h.hexdigest()[:16]


def overlap(dataset: Dataset) -> int | None:
    """Count the distinct inputs that are in more than one split.

    Returns:
        The count; None if it would say nothing, or for splits that are not read as a whole.
    """
    if dataset.repeats:
        return None
    parts = [dataset.part(split) for split in SPLITS]
    if all(isinstance(part, DiskSamples) for part in parts):
        return _overlap_of_keys([np.concatenate([k.numpy() for k in p.blocks(p.keys)]) for p in parts])  # type: ignore[union-attr]
    if not dataset.in_memory:
        return None
    seen: list[set[bytes]] = []
    for part in parts:
        assert isinstance(part, Samples)
        rows = part.x.flatten(1).contiguous().numpy() if len(part) else np.empty((0, 1))
        seen.append({hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows})
    train, val, test = seen
    return len((train & val) | (train & test) | (val & test))


def _overlap_of_keys(keys: list[np.ndarray]) -> int:
    """Count the keys that are in more than one of the splits `[train, val, test]`."""
    train, val, test = (np.unique(k) for k in keys)
    shared = [np.intersect1d(a, b, assume_unique=True) for a, b in ((train, val), (train, test), (val, test))]
    return len(np.unique(np.concatenate(shared)))
