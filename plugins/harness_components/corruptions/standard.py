"""Corruptions: data sets with a fault put in on purpose. Only the training split, unless the docstring says more."""

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


def _parts(dataset: Dataset, name: str) -> list[Samples]:
    """The three splits in memory. Raises HarnessError for data that is not."""
    parts = [part for split in SPLITS if isinstance(part := dataset.part(split), Samples)]
    if len(parts) < len(SPLITS):
        raise HarnessError(f"{name} wants data in memory")
    return parts


def _kept(part: Samples, index: Tensor) -> Samples:
    """Some samples of a split, in the order that they had."""
    index = index.sort().values
    return Samples(part.x[index], part.y[index])


def _still_classes(dataset: Dataset, name: str) -> Dataset:
    """The data set, if its training split still holds more than one class."""
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
    p: Annotated[float, Uniform(0.05, 0.5), Interval(ge=0, le=1)] = 0.2,
) -> Dataset:
    """Gives a share p of the training samples another class, each of the others alike.

    Exactly round(p · N) labels change; validation and test keep theirs.
    """
    part, _, _ = _parts(dataset, "label_noise")
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
    """Puts the features of every sample of every split into one other order, the same for all.

    x'_i = x_π(i) with a permutation π drawn once. In images whole pixels move, with all their channels; in sequences
    and vectors every number does. What an MLP sees is as easy as before; what a CNN relies on is gone.
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
    offset: Annotated[float, Uniform(-2, 2), "added to the inputs, in deviations of the training inputs"] = 0.5,
    scale: Annotated[float, Log(0.25, 4), Gt(0), "factor on the inputs' distance from their mean"] = 1.0,
    pixels: Annotated[int, Ge(0), "how far an image is moved at most, along each side; the rim is filled"] = 0,
    splits: Annotated[Literal["test", "all"], "where; all: training and validation too"] = "test",
) -> Dataset:
    """Shifts the inputs of the test split: their values, their spread, and images on their canvas.

    x' = μ + scale · (x - μ) + offset · σ  with the mean and the deviation of each feature of vectors, and of all
    values of images and sequences, in training. Each image is moved by its own (dy, dx), even over -pixels .. pixels,
    and what comes in has the smallest value of the image. Targets stay.
    """
    parts = _parts(dataset, "shifted")
    train, _, test = parts
    if pixels and train.x.ndim != 4:
        raise HarnessError(f"corruption.shifted.pixels moves images, and samples here have shape {dataset.inputs}")
    over = list(range(train.x.ndim)) if train.x.ndim > 2 else [0]
    values = train.x.double()
    mean, deviation = values.mean(over, keepdim=True)[0], values.std(over, correction=0, keepdim=True)[0]

    def moved(part: Samples) -> Samples:
        x = (mean + scale * (part.x.double() - mean) + offset * deviation).to(part.x.dtype)
        return Samples(_moved(x, pixels, generator) if pixels else x, part.y)

    if splits == "test":
        return replace(dataset, test=moved(test))
    made: dict[str, Any] = {split: moved(part) for split, part in zip(SPLITS, parts, strict=True)}
    return replace(dataset, **made)


def _moved(x: Tensor, pixels: int, generator: Generator) -> Tensor:
    """Each image [C, H, W] of x moved by its own (dy, dx)."""
    n, channels, height, width = x.shape
    by = torch.randint(-pixels, pixels + 1, (n, 2), generator=generator)
    rows = torch.arange(height) - by[:, :1]  # [N, H]: where each row comes from
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
    ratio: Annotated[float, Log(0.01, 1), Interval(gt=0, le=1), "share that is kept of the last class"] = 0.1,
) -> Dataset:
    """Keeps a geometric share of each class in training: all of the first, `ratio` of the last.

    Class c of C keeps  max(1, round(n_c · ratio^(c / (C - 1))))  samples, drawn by chance; validation and test stay.
    """
    part, _, _ = _parts(dataset, "imbalance")
    last = max(1, len(dataset.classes) - 1)
    kept = []
    for c in range(len(dataset.classes)):
        where = (part.y == c).nonzero()[:, 0]
        count = min(len(where), max(1, round(len(where) * ratio ** (c / last))))
        kept.append(where[torch.randperm(len(where), generator=generator)[:count]])
    return replace(dataset, train=_kept(part, torch.cat(kept)))


@harness.corruption(
    reference="Kapoor, Narayanan, Leakage and the reproducibility crisis in machine-learning-based science, "
    "Patterns 2023"
)
def leak(
    dataset: Dataset,
    generator: Generator,
    *,
    share: Annotated[float, Uniform(0.05, 1), Interval(ge=0, le=1), "of the test samples, p"] = 0.5,
) -> Dataset:
    """Puts a share p of the test samples, with their targets, into training too.

    round(p · N_test) samples are added behind the others; the test split stays. split.on_overlap tells of it.
    """
    train, _, test = _parts(dataset, "leak")
    chosen = _kept(test, torch.randperm(len(test), generator=generator)[: round(share * len(test))])
    return replace(dataset, train=Samples(torch.cat([train.x, chosen.x]), torch.cat([train.y, chosen.y])))


@harness.corruption(reference="Heckman, Sample selection bias as a specification error, Econometrica 1979")
def biased_split(
    dataset: Dataset,
    generator: Generator,
    *,
    by: Annotated[Literal["mean", "feature", "class"], "of what the test gets the largest: inputs' mean, ..."] = "mean",
    feature: Annotated[int, Ge(0), "which feature, with by=feature; from 0, of the flattened inputs"] = 0,
    strength: Annotated[float, Uniform(0.1, 1), Interval(ge=0, le=1), "0: by chance alone; 1: by it alone"] = 1.0,
) -> Dataset:
    """Divides the samples anew, by what they are instead of by chance: the test gets the largest, training the others.

    All samples are put in order of  strength · r + (1 - strength) · u  with r the rank of the mean, the feature or
    the class, and u a rank by chance; the last N_test are the test, of the others N_val by chance are validation.
    """
    train, val, test = _parts(dataset, "biased_split")
    if any(part.x.shape[1:] != train.x.shape[1:] for part in (val, test)):
        raise HarnessError("biased_split wants samples of one shape in all splits")
    x = torch.cat([part.x for part in (train, val, test)])
    y = torch.cat([part.y for part in (train, val, test)])
    flat = x.flatten(1)
    if by == "class" and dataset.target != "class":
        raise HarnessError("corruption.biased_split.by=class wants classes, and the targets here are real")
    if by == "feature" and feature >= flat.shape[1]:
        raise HarnessError(f"corruption.biased_split.feature={feature}, and there are {flat.shape[1]}, from 0")
    key = {"mean": lambda: flat.double().mean(1), "feature": lambda: flat[:, feature], "class": lambda: y}[by]()
    mixed = torch.randperm(len(x), generator=generator)  # what ties are ordered by
    rank = torch.empty(len(x), dtype=torch.float64)
    rank[mixed[key[mixed].argsort(stable=True)]] = torch.arange(len(x), dtype=torch.float64)
    chance = torch.randperm(len(x), generator=generator).double()
    order = (strength * rank + (1 - strength) * chance).argsort(stable=True)
    others, last = order[: len(x) - len(test)], order[len(x) - len(test) :]
    others = others[torch.randperm(len(others), generator=generator)]
    index = {"train": others[len(val) :], "val": others[: len(val)], "test": last}
    made: dict[str, Any] = {split: _kept(Samples(x, y), i) for split, i in index.items()}
    return _still_classes(replace(dataset, **made), "biased_split")


@harness.corruption(
    targets=("class",),
    reference="Lampert, Nickisch, Harmeling, Learning to detect unseen object classes by between-class attribute "
    "transfer, CVPR 2009; Vinyals et al., Matching networks for one shot learning, 2016, arXiv:1606.04080, section 4",
)
def unseen_classes(
    dataset: Dataset,
    generator: Generator,
    *,
    val: Annotated[int | None, Ge(0), "classes of validation alone; 0: those of training; null: by share"] = None,
    test: Annotated[int | None, Ge(1), "classes for the test alone; null: by share"] = None,
) -> Dataset:
    """Divides the classes instead of the samples: no class of the test, or of validation, is in training.

    The classes are dealt out by chance, all samples of each to one split. By share, a split gets as many of the C
    classes as it has samples of N, round(C · N_split / N), the test at least one. With 0 classes of its own,
    validation keeps its share of the training classes' samples.
    """
    parts = _parts(dataset, "unseen_classes")
    if any(part.x.shape[1:] != parts[0].x.shape[1:] for part in parts):
        raise HarnessError("unseen_classes wants samples of one shape in all splits")
    x, y = torch.cat([part.x for part in parts]), torch.cat([part.y for part in parts])
    found = y.unique()
    by_share = [round(len(found) * len(part) / len(x)) for part in parts]
    for_val = by_share[1] if val is None else val
    for_test = max(1, by_share[2]) if test is None else test
    if (left := len(found) - for_val - for_test) < 2:
        raise HarnessError(
            f"unseen_classes takes {for_val} classes for validation and {for_test} for the test, and of {len(found)} "
            f"that leaves {max(0, left)} to train on"
        )
    dealt = found[torch.randperm(len(found), generator=generator)]
    in_test = torch.isin(y, dealt[:for_test])
    in_val = torch.isin(y, dealt[for_test : for_test + for_val])
    if not for_val:
        at = len(parts[0])
        in_val[at : at + len(parts[1])] = True
        in_val &= ~in_test
    index = {"train": ~(in_val | in_test), "val": in_val, "test": in_test}
    made: dict[str, Any] = {split: Samples(x[i], y[i]) for split, i in index.items()}
    return _still_classes(replace(dataset, **made), "unseen_classes")


@harness.corruption
def fraction(
    dataset: Dataset,
    generator: Generator,
    *,
    share: Annotated[float, Log(0.01, 1), Interval(gt=0, le=1), "of the training samples, where n is 0"] = 0.5,
    n: Annotated[int, Ge(0), "training samples to keep; 0: by their share"] = 0,
) -> Dataset:
    """Keeps some of the training samples, drawn by chance: n of them, or  max(1, round(share · N)).

    Of one split.seed, a smaller fraction is a part of every larger one. Validation and test stay.
    """
    part, _, _ = _parts(dataset, "fraction")
    if n > len(part):
        raise HarnessError(f"corruption.fraction.n={n}, and there are {len(part)} training samples")
    count = n or max(1, round(share * len(part)))
    order = torch.randperm(len(part), generator=generator)
    return _still_classes(replace(dataset, train=_kept(part, order[:count])), "fraction")
