"""Checks of what makes or changes samples: data, corruptions, transforms, augmentations."""

from __future__ import annotations

import functools
from typing import Any

import torch

from harness.datasets.dataset import SPLITS, digest, overlap, row_chunks, size
from harness.testing import fixtures as benches
from harness.testing.check import check
from harness.testing.component_case import Case, Inapplicable, drawn, expect, noise
from harness.testing.exercise_samples import made_data, rows, transformable

SHARE = 0.05  # of the smaller split: samples that are alike by chance or by rounding


@check("data", needs=("repeats",))
def disjoint(case: Case) -> None:
    """No sample stands in two splits, unless the data says so (`repeats`)."""
    made = made_data(case)
    if made.repeats:
        raise Inapplicable("it says that inputs stand in several splits by nature (repeats)")
    found = overlap(made)
    if found is None:
        few = [{row.numpy().tobytes() for row in rows(made, name)} for name in SPLITS]
        found = len((few[0] & few[1]) | (few[0] & few[2]) | (few[1] & few[2]))
    smaller = min(size(made.val), size(made.test))
    expect(
        found <= max(1, SHARE * smaller),
        f"{found} inputs stand in more than one split, and its validation and test splits have {size(made.val)} and "
        f"{size(made.test)}; where that is their nature, say repeats=True in the Dataset",
    )


@check("transform", needs=("repeats",))
def fitted(case: Case) -> None:
    """What it makes of a sample is fixed by the training inputs: whatever else it sees changes nothing."""
    train, other = transformable()
    given = train.clone()
    made = case.make(train=given, chunks=functools.partial(row_chunks, given))
    before = made(other)
    made(train[50:])
    expect(torch.equal(made(other), before), "it makes something else of the same samples after it has seen others")
    alone = torch.cat([made(other[i : i + 1]) for i in range(3)])
    expect(
        torch.allclose(alone, before[:3], rtol=1e-5, atol=1e-6),
        "of a sample alone it makes something else than of the same one among others: it looks at all that it is given",
    )


@check("corruption", "transform", "augmentation", "regularizer", needs=("repeats",))
def pure(case: Case) -> None:
    """What it is given is as it was before: others have it too."""
    {"corruption": _corruption, "transform": _transform, "augmentation": _augmentation, "regularizer": _hooks}[
        case.kind
    ](case)


def _corruption(case: Case) -> None:
    for target in case.told("targets") or ("class", "real"):
        given = benches.dataset(str(target))
        before = digest(given)
        case.make(dataset=given)
        expect(digest(given) == before, "it changes the samples that it was given in place: return a new Dataset")


def _transform(case: Case) -> None:
    train, other = transformable()
    kept = train.clone(), other.clone()
    made = case.make(train=train, chunks=functools.partial(row_chunks, train))
    made(other)
    same = torch.equal(train, kept[0]) and torch.equal(other, kept[1])
    expect(same, "it changes the inputs that it was given in place")


def _augmentation(case: Case) -> None:
    for ndim in case.told("input_ndim") or (1, 3):
        x, y = drawn((5, *benches.SHAPES[ndim]), "x"), torch.arange(5) % 3
        kept = x.clone(), y.clone()
        case.make()(x, y, noise())
        expect(torch.equal(x, kept[0]) and torch.equal(y, kept[1]), "it changes the batch that it was given in place")


def _hooks(case: Case) -> None:
    made: Any = case.make()
    y = torch.arange(6) % 3
    kept = y.clone()
    made.target(y)
    expect(torch.equal(y, kept), "it changes the targets that it was given in place")
