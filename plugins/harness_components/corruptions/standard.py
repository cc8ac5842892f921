"""Corruptions: deliberate faults in a data set, in the training split alone unless stated otherwise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator, Tensor

import harness
from harness import SPLITS, Dataset, HarnessError, Samples
from harness.space import Log, Uniform


def splits_in_memory(dataset: Dataset, name: str) -> list[Samples]:
    """Return the three splits.

    Raises:
        HarnessError: If they are not in memory.
    """
    parts = [part for split in SPLITS if isinstance(part := dataset.part(split), Samples)]
    if len(parts) < len(SPLITS):
        raise HarnessError(f"corruption {name} requires data in memory: set data.in_memory=true")
    return parts


def _subset(part: Samples, index: Tensor) -> Samples:
    """Return some samples of a split in their original order."""
    index = index.sort().values
    return Samples(part.x[index], part.y[index])


def _check_classes(dataset: Dataset, name: str) -> Dataset:
    """Return the data set if training holds more than one class, else raise HarnessError."""
    assert isinstance(dataset.train, Samples)
    if dataset.target == "class" and len(dataset.train.y.unique()) < 2:
        raise HarnessError(f"{name} leaves one class only in the training split, nothing to learn")
    return dataset


@harness.corruption(
    targets=("class",),
    reference="Zhang et al., Understanding deep learning requires rethinking generalization, 2017",
)
def label_noise(
    dataset: Dataset,
    generator: Generator,
    *,
    p: Annotated[float, Uniform(0.05, 0.5), Interval(ge=0, le=1), "share of the training labels"] = 0.2,
) -> Dataset:
    """Label noise: change the class of a share p of the training samples to another one, uniformly.

    Exactly round(p · N) labels change; validation and test keep theirs.

    >>> from harness import Split, from_arrays
    >>> y = torch.arange(100) % 4
    >>> data = from_arrays(y[:, None], y, Split(), Generator(), target="class", classes=range(4))
    >>> noisy = label_noise(data, Generator(), p=0.25)
    >>> len(data.train), int((noisy.train.y != data.train.y).sum())
    (64, 16)
    """
    part, _, _ = splits_in_memory(dataset, "label_noise")
    count, classes = round(p * len(part)), len(dataset.classes)
    chosen = torch.randperm(len(part), generator=generator)[:count]
    offset = torch.randint(1, classes, (count,), generator=generator)
    y = part.y.clone()
    y[chosen] = (y[chosen] + offset) % classes
    return replace(dataset, train=Samples(part.x, y))


@harness.corruption(
    reference="Zhang et al., Understanding deep learning requires rethinking generalization, 2017, arXiv:1611.03530"
)
def permuted_pixels(dataset: Dataset, generator: Generator) -> Dataset:
    """Permute the features of every sample in every split by one random permutation.

    With a permutation π drawn once:

        x'_i = x_π(i)

    In images whole pixels move, with all channels; in sequences and vectors single numbers. An mlp is not affected, a
    cnn loses the neighbourhoods that it relies on.
    """
    shape = dataset.inputs
    images = len(shape) == 3
    order = torch.randperm(math.prod(shape[1:] if images else shape), generator=generator)
    start = 2 if images else 1
    return dataset.mapped(lambda x: x.flatten(start)[..., order].reshape(x.shape))


@harness.corruption(reference="Shimodaira, Improving predictive inference under covariate shift, JSPI 2000")
def shifted(
    dataset: Dataset,
    generator: Generator,
    *,
    offset: Annotated[float, Uniform(-2, 2), "shift, in standard deviations of the training inputs"] = 0.5,
    scale: Annotated[float, Log(0.25, 4), Gt(0), "factor of the distance from the mean"] = 1.0,
    pixels: Annotated[int, Ge(0), "largest translation of an image in each direction, in pixels"] = 0,
    splits: Annotated[Literal["test", "all"], "splits to shift"] = "test",
) -> Dataset:
    """Covariate shift of the test inputs: of their mean, their scale, and the position of images.

    With mean μ and standard deviation σ in training, of each feature for vectors and of all values for images and
    sequences:

        x' = μ + scale · (x - μ) + offset · σ

    Each image is translated by its own (dy, dx), uniform in -pixels .. pixels; new pixels get the image's smallest
    value. Targets are unchanged.
    """
    parts = splits_in_memory(dataset, "shifted")
    train, _, test = parts
    if pixels and train.x.ndim != 4:
        raise HarnessError(f"corruption.shifted.pixels moves images, and samples here have shape {dataset.inputs}")
    over = list(range(train.x.ndim)) if train.x.ndim > 2 else [0]
    values = train.x.double()
    mean, deviation = values.mean(over, keepdim=True)[0], values.std(over, correction=0, keepdim=True)[0]

    def shift(part: Samples) -> Samples:
        x = (mean + scale * (part.x.double() - mean) + offset * deviation).to(part.x.dtype)
        return Samples(_translate(x, pixels, generator) if pixels else x, part.y)

    if splits == "test":
        return replace(dataset, test=shift(test))
    parts_by_split: dict[str, Any] = {split: shift(part) for split, part in zip(SPLITS, parts, strict=True)}
    return replace(dataset, **parts_by_split)


def _translate(x: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Translate each image of x [N, C, H, W] by its own (dy, dx)."""
    n, channels, height, width = x.shape
    by = torch.randint(-pixels, pixels + 1, (n, 2), generator=generator)
    rows = torch.arange(height) - by[:, :1]  # [N, H]: source of each row
    columns = torch.arange(width) - by[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    place = rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None, :]
    taken = x.flatten(2).gather(2, place.flatten(1)[:, None].expand(n, channels, height * width)).reshape(x.shape)
    return torch.where(inside[:, None], taken, x.amin((1, 2, 3), keepdim=True))


@harness.corruption(
    targets=("class",),
    reference="Cui, Jia, Lin, Song, Belongie, Class-balanced loss based on effective number of samples, CVPR 2019, "
    "arXiv:1901.05555",
)
def imbalance(
    dataset: Dataset,
    generator: Generator,
    *,
    ratio: Annotated[float, Log(0.01, 1), Interval(gt=0, le=1), "share r of the last class that is kept"] = 0.1,
) -> Dataset:
    """Class imbalance: keep a geometric share of each class in training, all of the first and r = `ratio` of the last.

    Class c of C keeps this number of random samples; validation and test are unchanged:

        max(1, round(n_c · r^(c / (C - 1))))

    >>> from harness import Split, from_arrays
    >>> y = torch.arange(300) % 3
    >>> data = from_arrays(y[:, None], y, Split(stratify=True), Generator(), target="class", classes=range(3))
    >>> imbalance(data, Generator(), ratio=0.25).train.y.bincount() / data.train.y.bincount()
    tensor([1.0000, 0.5000, 0.2500])
    """
    part, _, _ = splits_in_memory(dataset, "imbalance")
    last = max(1, len(dataset.classes) - 1)
    kept = []
    for c in range(len(dataset.classes)):
        where = (part.y == c).nonzero()[:, 0]
        count = min(len(where), max(1, round(len(where) * ratio ** (c / last))))
        kept.append(where[torch.randperm(len(where), generator=generator)[:count]])
    return replace(dataset, train=_subset(part, torch.cat(kept)))


@harness.corruption(
    reference="Kapoor, Narayanan, Leakage and the reproducibility crisis in machine-learning-based science, "
    "Patterns 2023"
)
def leak(
    dataset: Dataset,
    generator: Generator,
    *,
    share: Annotated[float, Uniform(0.05, 1), Interval(ge=0, le=1), "share p of the test samples"] = 0.5,
) -> Dataset:
    """Data leakage: copy a share p of the test samples, with their targets, into training.

    round(p · N_test) samples are appended; the test split is unchanged. `split.on_overlap` reports them.
    """
    train, _, test = splits_in_memory(dataset, "leak")
    chosen = _subset(test, torch.randperm(len(test), generator=generator)[: round(share * len(test))])
    return replace(dataset, train=Samples(torch.cat([train.x, chosen.x]), torch.cat([train.y, chosen.y])))


@harness.corruption(reference="Heckman, Sample selection bias as a specification error, Econometrica 1979")
def biased_split(
    dataset: Dataset,
    generator: Generator,
    *,
    by: Annotated[Literal["mean", "feature", "class"], "quantity whose largest values go to the test"] = "mean",
    feature: Annotated[int, Ge(0), "with by=feature: its index in the flattened inputs"] = 0,
    strength: Annotated[float, Uniform(0.1, 1), Interval(ge=0, le=1), "strength s; 0: a random split"] = 1.0,
) -> Dataset:
    """Selection bias: split by a property of the samples, so that the test gets its largest values.

    With r the rank of the mean, the feature or the class, u a random rank and s = `strength`, samples are sorted by

        s r + (1 - s) u

    The last N_test are the test split; N_val random ones of the others are validation.
    """
    train, val, test = splits_in_memory(dataset, "biased_split")
    if any(part.x.shape[1:] != train.x.shape[1:] for part in (val, test)):
        raise HarnessError("corruption biased_split requires samples of one shape in all splits")
    x = torch.cat([part.x for part in (train, val, test)])
    y = torch.cat([part.y for part in (train, val, test)])
    flat = x.flatten(1)
    if by == "class" and dataset.target != "class":
        raise HarnessError("corruption.biased_split.by=class requires classes, and the targets here are real")
    if by == "feature" and feature >= flat.shape[1]:
        raise HarnessError(f"corruption.biased_split.feature={feature}, and there are {flat.shape[1]}, from 0")
    key = {"mean": lambda: flat.double().mean(1), "feature": lambda: flat[:, feature], "class": lambda: y}[by]()
    mixed = torch.randperm(len(x), generator=generator)  # breaks ties
    rank = torch.empty(len(x), dtype=torch.float64)
    rank[mixed[key[mixed].argsort(stable=True)]] = torch.arange(len(x), dtype=torch.float64)
    chance = torch.randperm(len(x), generator=generator).double()
    order = (strength * rank + (1 - strength) * chance).argsort(stable=True)
    others, last = order[: len(x) - len(test)], order[len(x) - len(test) :]
    others = others[torch.randperm(len(others), generator=generator)]
    index = {"train": others[len(val) :], "val": others[: len(val)], "test": last}
    divided: dict[str, Any] = {split: _subset(Samples(x, y), i) for split, i in index.items()}
    return _check_classes(replace(dataset, **divided), "biased_split")


@harness.corruption(
    targets=("class",),
    reference="Lampert, Nickisch, Harmeling, Learning to detect unseen object classes by between-class attribute "
    "transfer, CVPR 2009; Vinyals et al., Matching networks for one shot learning, 2016, arXiv:1606.04080, section 4",
)
def unseen_classes(
    dataset: Dataset,
    generator: Generator,
    *,
    val: Annotated[int | None, Ge(0), "number of validation classes; 0: those of training; null: by share"] = None,
    test: Annotated[int | None, Ge(1), "number of test classes; null: by share"] = None,
) -> Dataset:
    """Split the classes in place of the samples: no class of test or validation occurs in training.

    Classes are assigned at random, all samples of a class to one split. By share, a split gets round(C · N_split / N)
    of the C classes, the test at least one. With val=0, validation is a share of the samples of the training classes.
    """
    parts = splits_in_memory(dataset, "unseen_classes")
    if any(part.x.shape[1:] != parts[0].x.shape[1:] for part in parts):
        raise HarnessError("corruption unseen_classes requires samples of one shape in all splits")
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    classes = y.unique()
    by_share = [round(len(classes) * len(part) / len(x)) for part in parts]
    for_val = by_share[1] if val is None else val
    for_test = max(1, by_share[2]) if test is None else test
    if (left := len(classes) - for_val - for_test) < 2:
        raise HarnessError(
            f"unseen_classes takes {for_val} classes for validation and {for_test} for the test, and of {len(classes)} "
            f"that leaves {max(0, left)} to train on"
        )
    shuffled = classes[torch.randperm(len(classes), generator=generator)]
    in_test = torch.isin(y, shuffled[:for_test])
    in_val = torch.isin(y, shuffled[for_test : for_test + for_val])
    if not for_val:
        at = len(parts[0])
        in_val[at : at + len(parts[1])] = True
        in_val &= ~in_test
    index = {"train": ~(in_val | in_test), "val": in_val, "test": in_test}
    divided: dict[str, Any] = {split: Samples(x[i], y[i]) for split, i in index.items()}
    return _check_classes(replace(dataset, **divided), "unseen_classes")


@harness.corruption
def fraction(
    dataset: Dataset,
    generator: Generator,
    *,
    share: Annotated[float, Log(0.01, 1), Interval(gt=0, le=1), "share of the training samples, if n is 0"] = 0.5,
    n: Annotated[int, Ge(0), "number of training samples to keep; 0: by `share`"] = 0,
) -> Dataset:
    """Keep a random fraction of the training samples: n, or max(1, round(share · N)).

    With one `split.seed`, a smaller fraction is a subset of every larger one. Validation and test are unchanged.
    """
    part, _, _ = splits_in_memory(dataset, "fraction")
    if n > len(part):
        raise HarnessError(f"corruption.fraction.n={n}, and there are {len(part)} training samples")
    count = n or max(1, round(share * len(part)))
    order = torch.randperm(len(part), generator=generator)
    return _check_classes(replace(dataset, train=_subset(part, order[:count])), "fraction")
