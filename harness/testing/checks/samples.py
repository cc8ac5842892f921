"""Conformance checks of data, corruptions, transforms and augmentations."""

from __future__ import annotations

import functools
from typing import Any

import torch

from harness.datasets.dataset import SPLITS, digest, overlap, row_chunks, size
from harness.testing import fixtures as benches
from harness.testing.check import check
from harness.testing.component_case import Case, Inapplicable, drawn, expect, noise
from harness.testing.exercise_samples import load_dataset, some_inputs, transformable

SHARE = 0.05  # share of the smaller split that may be equal by chance or rounding


@check("data", needs=("repeats",))
def disjoint(case: Case) -> None:
    """No sample is in two splits, unless the data declares it (`repeats`)."""
    dataset = load_dataset(case)
    if dataset.repeats:
        raise Inapplicable("it declares that inputs are in several splits by nature (repeats)")
    shared = overlap(dataset)
    if shared is None:
        train, val, test = ({x.numpy().tobytes() for x in some_inputs(dataset, name)} for name in SPLITS)
        shared = len((train & val) | (train & test) | (val & test))
    smaller = min(size(dataset.val), size(dataset.test))
    expect(
        shared <= max(1, SHARE * smaller),
        f"{shared} inputs are in more than one split, of {size(dataset.val)} validation and {size(dataset.test)} test "
        "samples; if that is their nature, set repeats=True in the Dataset",
    )


@check("transform", needs=("repeats",))
def fitted(case: Case) -> None:
    """The transform of a sample only depends on the training inputs, not on other samples."""
    train, other = transformable()
    train_copy = train.clone()
    transform = case.make(train=train_copy, chunks=functools.partial(row_chunks, train_copy))
    before = transform(other)
    transform(train[50:])
    expect(torch.equal(transform(other), before), "its output for the same samples changes after it has seen others")
    alone = torch.cat([transform(other[i : i + 1]) for i in range(3)])
    expect(
        torch.allclose(alone, before[:3], rtol=1e-5, atol=1e-6),
        "its output for a single sample differs from that for the same sample in a batch",
    )


@check("corruption", "transform", "augmentation", "regularizer", needs=("repeats",))
def pure(case: Case) -> None:
    """The component does not change its inputs in place, since others use them too."""
    {"corruption": _corruption, "transform": _transform, "augmentation": _augmentation, "regularizer": _hooks}[
        case.kind
    ](case)


def _corruption(case: Case) -> None:
    for target in case.list_trait("targets") or ("class", "real"):
        dataset = benches.dataset(str(target))
        before = digest(dataset)
        case.make(dataset=dataset)
        expect(digest(dataset) == before, "it changes samples in place: return a new Dataset")


def _transform(case: Case) -> None:
    train, other = transformable()
    copies = train.clone(), other.clone()
    transform = case.make(train=train, chunks=functools.partial(row_chunks, train))
    transform(other)
    same = torch.equal(train, copies[0]) and torch.equal(other, copies[1])
    expect(same, "it changes its inputs in place")


def _augmentation(case: Case) -> None:
    for ndim in case.list_trait("input_ndim") or (1, 3):
        x, y = drawn((5, *benches.SHAPES[ndim]), "x"), torch.arange(5) % 3
        copies = x.clone(), y.clone()
        case.make()(x, y, noise())
        expect(torch.equal(x, copies[0]) and torch.equal(y, copies[1]), "it changes the batch in place")


def _hooks(case: Case) -> None:
    regularizer: Any = case.make()
    y = torch.arange(6) % 3
    copy = y.clone()
    regularizer.target(y)
    expect(torch.equal(y, copy), "it changes the targets in place")
