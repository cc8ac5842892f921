"""Adapt torch Datasets, DataLoaders and LightningDataModules to `harness.Dataset`.

Samples are read once, in order, and then held in memory or, if they are large, in files. Data with a given `digest` is
not read as a whole: `workers` processes read its samples when they are needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.utils.data
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, default_collate

from harness.config.settings import Split
from harness.datasets.dataset import SPLITS, Dataset, Divided, Target, divide_rest, from_parts, from_stored
from harness.datasets.disk import BLOCK_BYTES, LARGE, Chunk, keep, read_about, stored_classes, write
from harness.datasets.precision import exact
from harness.system.errors import HarnessError

InMemory = bool | Literal["auto"]
MAX_CLASSES = 20  # whole numbers of up to so many different values are classes
_READ_TWICE = 8  # samples to read twice, to detect random ones


def adopt(data: Any, split: Split, generator: torch.Generator, cache_dir: Path) -> Dataset:
    """Return the data set of what a data component returned.

    Args:
        data: A harness.Dataset, a torch Dataset or DataLoader, up to three of these, or a LightningDataModule.
        split: Settings of the split.
        generator: Draws the split.
        cache_dir: Folder for samples that do not fit in memory.

    Raises:
        HarnessError: If it is of another type, or if its samples cannot be used.
    """
    if isinstance(data, Dataset):
        return data
    read = functools.partial(from_torch, split=split, generator=generator, cache_dir=cache_dir)
    if all(callable(getattr(data, name, None)) for name in ("prepare_data", "setup", "train_dataloader")):
        return read(*_module_loaders(data))
    if isinstance(data, tuple | list) and 1 <= len(data) <= 3:
        return read(*data)
    if isinstance(data, torch.utils.data.Dataset | DataLoader):
        return read(data)
    raise HarnessError(
        f"it returned {type(data).__name__}, not a harness.Dataset, a torch Dataset, (train, val, test) or a "
        "LightningDataModule"
    )


def _module_loaders(module: Any) -> list[Any]:
    """Return the loaders of a LightningDataModule's three splits, None for missing ones."""
    module.prepare_data()
    module.setup("fit")
    module.setup("test")
    loaders = []
    for name in SPLITS:
        make = getattr(module, f"{name}_dataloader")
        inherited = getattr(make, "__qualname__", "").startswith("DataHooks.")  # Lightning's own, which raises
        loader = None if inherited else make()
        if isinstance(loader, list | tuple):
            if len(loader) > 1:
                raise HarnessError(
                    f"{name}_dataloader returns {len(loader)} loaders, but a split has one: return the one to use, or "
                    "one over a torch.utils.data.ConcatDataset"
                )
            loader = loader[0] if loader else None
        loaders.append(loader)
    return loaders


class Pairs(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """A torch Dataset's samples as input and target, each of one shape and one kind of number."""

    def __init__(self, source: Any, name: str, target: Target | Literal["auto"]) -> None:
        collate = None
        if isinstance(source, DataLoader):
            collate = None if source.collate_fn is default_collate else source.collate_fn
            source = source.dataset
        usable = isinstance(source, torch.utils.data.Dataset) and hasattr(source, "__getitem__")
        if isinstance(source, IterableDataset) or not usable or not hasattr(source, "__len__"):
            raise HarnessError(
                f"{name} is {type(source).__name__}, expected a map-style torch Dataset (with __len__ and __getitem__)"
            )
        if not len(source):
            raise HarnessError(f"the {name} split is empty")
        self.source, self.name, self.collate = source, name, collate
        self.target: Target = _kind(self._sample(0)[1]) if target == "auto" else target
        self.shapes: tuple[torch.Size, torch.Size] | None = None
        x, y = self[0]
        self.shapes = x.shape, y.shape
        self.width = y.numel()
        self.types = x.dtype, y.dtype
        self.bytes = len(source) * (x.nbytes + y.nbytes)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x, y = self._sample(index)
        x, y = _input(x), _target(y, self.target, f"{self.name}, sample {index}")
        if self.shapes and (x.shape, y.shape) != self.shapes:
            got, first = ([list(s) for s in shapes] for shapes in ((x.shape, y.shape), self.shapes))
            raise HarnessError(
                f"{self.name}, sample {index}: the shapes of input and target are {got[0]} and {got[1]}, but those of "
                f"sample 0 are {first[0]} and {first[1]}: all must be equal"
            )
        return x, y

    def _sample(self, index: int) -> tuple[Tensor, Tensor]:
        where = f"{self.name}, sample {index}"
        sample = self.source[index] if self.collate is None else self.collate([self.source[index]])
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise HarnessError(f"{where} is {_type_text(sample)}, expected a pair (input, target)")
        x, y = (_tensor(value, f"{where}, {part}") for value, part in zip(sample, ("input", "target"), strict=True))
        return (x, y) if self.collate is None else (x[0], y[0])

    @property
    def classes(self) -> Sequence[Any] | None:
        """The names that the source, or what it is a part of, gives its classes."""
        source = self.source
        while not hasattr(source, "classes") and isinstance(source, Subset):
            source = source.dataset
        classes = getattr(source, "classes", None)
        return classes if isinstance(classes, tuple | list) else None

    def chunks(self) -> Iterator[Chunk]:
        """All samples in their order, some at a time. Raises HarnessError where reading them again gives others."""
        together = max(1, BLOCK_BYTES * len(self) // max(1, self.bytes))
        first_pairs: list[tuple[Tensor, Tensor]] = []
        for first in range(0, len(self), together):
            pairs = [self[index] for index in range(first, min(first + together, len(self)))]
            first_pairs = first_pairs or pairs[:_READ_TWICE]
            x, y = (torch.stack(tensors) for tensors in zip(*pairs, strict=True))
            self._check(x, y, first)
            yield x.numpy(), y.numpy()
        for index, pair in enumerate(first_pairs):
            if not all(map(torch.equal, pair, self[index])):
                raise HarnessError(
                    f"{self.name}, sample {index} differs when it is read again: its random part would be frozen. "
                    "Choose an augmentation instead, or give harness.from_torch a digest"
                )

    def _check(self, x: Tensor, y: Tensor, first: int) -> None:
        for part, values in (("input", x), ("target", y)):
            if values.is_floating_point() and not bool(torch.isfinite(values.sum())):
                bad = (~torch.isfinite(values)).flatten(1).any(1).nonzero()
                if len(bad):
                    raise HarnessError(f"{self.name}, sample {first + int(bad[0])}: the {part} is not finite")


def from_torch(
    train: Any,
    val: Any = None,
    test: Any = None,
    *,
    split: Split,
    generator: torch.Generator,
    cache_dir: str | Path = "~/.cache/harness",
    target: Target | Literal["auto"] = "auto",
    classes: Sequence[Any] = (),
    in_memory: InMemory = "auto",
    digest: str = "",
    workers: int = 0,
) -> Dataset:
    """Make a Dataset of map-style torch Datasets, or of DataLoaders of them.

    Args:
        train: The training samples, pairs (input, target).
        val: The validation samples; None takes them from the training samples by `split.val`.
        test: The test samples; None takes them from the training samples by `split.test`.
        split: The shares of the splits.
        generator: The source of random numbers for the division.
        cache_dir: The folder for samples that exceed the memory limit.
        target: "auto" treats integers as classes, floats as real targets, vectors of 0 and 1 as labels.
        classes: The names of classes or labels; default: the attribute `classes` of the torch Dataset.
        in_memory: "auto" keeps at most a gigabyte in memory, True everything, False nothing.
        digest: A hash that changes with the data. With it, samples are read when they are needed, and may be random.
        workers: The number of processes that read samples ahead, with `digest`.

    Returns:
        The data set.

    Raises:
        HarnessError: If the samples differ in shape or type, are not finite, or have an unknown class.
    """
    sources = {"train": train, "val": val, "test": test}
    pairs: dict[str, Pairs] = {}
    for name, source in sources.items():
        if source is not None:
            pairs[name] = Pairs(source, name, pairs["train"].target if pairs else target)
    first = pairs["train"]
    for name, other in pairs.items():
        if (other.shapes, other.types) != (first.shapes, first.types):
            shapes = [[list(s) for s in p.shapes or ()] for p in (other, first)]
            raise HarnessError(f"the samples of {name} and train differ in shape or type: {shapes[0]} and {shapes[1]}")
    counts = {name: len(p) for name, p in pairs.items()}
    known = tuple(classes) or tuple(first.classes or ())
    if digest:
        return _read_later(pairs, divide_rest(counts, split, generator), known, digest, workers)

    def chunks() -> Iterator[Chunk]:
        for name in SPLITS:
            for x, y in pairs[name].chunks() if name in pairs else ():
                if first.target == "class" and known and not 0 <= y.min() <= y.max() < len(known):
                    outside = y.min() if y.min() < 0 else y.max()
                    raise HarnessError(f"{name} holds class {outside}, which is not in 0 .. {len(known) - 1}")
                yield x, y

    def divided(y: Tensor | None) -> Divided:
        return divide_rest(counts, split, generator, y)

    names = known or (range(first.width) if first.target == "labels" else ())
    total = sum(p.bytes for p in pairs.values())
    return hold(chunks, divided, total, in_memory, cache_dir, first.target, names, told=target != "auto")


def hold(
    chunks: Callable[[], Iterator[Chunk]],
    divided: Callable[[Tensor | None], Divided],
    size: int,
    in_memory: InMemory,
    cache_dir: str | Path,
    target: Target,
    classes: Sequence[Any],
    told: bool = True,
) -> Dataset:
    """The data set of samples that are read once: in memory, or in files where they have more bytes than is usual.

    `divided` gives the indices of each split, of classes [N] or None. Classes without names are the whole numbers that
    there are. Where nobody has `told` the target, floats in memory that are few whole numbers are classes, and columns
    of 0 and 1 labels.
    """
    if not (size > LARGE if in_memory == "auto" else not in_memory):
        x, y = (_joined(arrays) for arrays in zip(*chunks(), strict=True))
        if target == "real" and not told:
            target, y, classes = _infer_target(y, classes)
        if target == "class" and not classes:
            values, y = y.unique(return_inverse=True)
            classes = values.tolist()
        return from_parts(x, y, divided(y if target == "class" else None), target=target, classes=classes)

    def make(folder: Path) -> str:
        named = target != "class" or bool(classes)
        return write(folder, chunks(), "the data", numbered=not named)

    folder = keep(Path(cache_dir).expanduser() / "samples", "", make)
    of_class = stored_classes(folder) if target == "class" else None
    if of_class is not None and not classes:
        classes = read_about(folder)["values"]
    return from_stored(folder, divided(of_class), target=target, classes=classes)


def _infer_target(y: Tensor, classes: Sequence[Any]) -> tuple[Target, Tensor, Sequence[Any]]:
    """Infer the kind of float targets [N, D]; return (target, y, classes)."""
    values = y.unique()
    if len(values) == 1:
        return "real", y, ()
    if y.shape[1] == 1:
        if len(values) <= MAX_CLASSES and bool((values == values.round()).all()):
            fits = len(classes) > values.max() and values.min() >= 0
            return "class", y[:, 0].long(), classes if fits else ()
    elif bool(((y == 0) | (y == 1)).all()):
        return "labels", y, classes if len(classes) == y.shape[1] else range(y.shape[1])
    return "real", y, ()


def _joined(arrays: Sequence[np.ndarray]) -> Tensor:
    array = np.concatenate(arrays)
    return exact(array) if array.dtype.kind == "f" else torch.from_numpy(array)


def _read_later(
    pairs: dict[str, Pairs], parts: Divided, classes: tuple[Any, ...], digest: str, workers: int
) -> Dataset:
    first = pairs["train"]
    if first.target != "real" and not classes:
        raise HarnessError("data with a digest is not read as a whole: give the names of all classes")
    splits = {name: p if name != "train" else Subset(p, parts[name].tolist()) for name, p in pairs.items()}
    splits |= {name: Subset(first, parts[name].tolist()) for name in SPLITS if name not in pairs}
    train, val, test = (splits[name] for name in SPLITS)
    dataset = Dataset(train, val, test, target=first.target, digest=digest, workers=workers)
    return replace(dataset, classes=tuple(str(c) for c in classes), outputs=first.width)


def _type_text(value: Any) -> str:
    kind = f"{type(value).__name__}"
    return f"{kind} of {len(value)}" if isinstance(value, tuple | list | dict) else kind


def _tensor(value: Any, where: str) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
        if tensor.is_floating_point() and not hasattr(value, "dtype"):  # Python's own numbers are float64
            tensor = torch.as_tensor(value, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise HarnessError(f"{where} is {_type_text(value)}, expected a tensor, an array or numbers") from None
    if tensor.is_complex():
        raise HarnessError(f"{where} holds complex numbers")
    return tensor.detach().cpu()


def _input(x: Tensor) -> Tensor:
    """Convert an input to float32 or float64, or to int64 for whole numbers (indices); bytes and booleans to float."""
    indices = not x.is_floating_point() and x.dtype not in (torch.uint8, torch.bool)
    return x.to(torch.int64 if indices else _unrounded(x)).reshape(x.shape or (1,))


def _unrounded(x: Tensor) -> torch.dtype:
    """Return float64 for types that float32 could round, else float32."""
    wide = (torch.float64, torch.int64, torch.int32, torch.uint32, torch.uint64)
    return torch.float64 if x.dtype in wide else torch.float32


def _kind(y: Tensor) -> Target:
    """Infer the kind of targets from a sample's target."""
    if y.is_floating_point():
        return "real"
    return "class" if y.numel() == 1 else "labels"


def _target(y: Tensor, kind: Target, where: str) -> Tensor:
    if kind != "class":
        return y.to(torch.float32 if kind == "labels" else _unrounded(y)).reshape(-1)
    if y.numel() != 1 or (y.is_floating_point() and bool(y != y.round())):
        raise HarnessError(f"{where}: the target is {y.dtype} {list(y.shape)}, but a class is one whole number")
    return y.to(torch.int64).reshape(())
