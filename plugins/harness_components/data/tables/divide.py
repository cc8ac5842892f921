"""Divisions of a table that keep groups together, or follow its order."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import torch

from harness import SPLITS, Divided, HarnessError, Split, divide
from harness_components.data.tables.plan import Choice, Plan


def divide_groups(groups: np.ndarray, split: Split, generator: torch.Generator) -> Divided:
    """Indices of each split, such that no group stands in two.

    Groups are drawn in a random order; validation and test take whole groups until they have their shares of the
    samples, or as near to them as groups allow.

    Args:
        groups: the group of each sample, [N].
        split: shares of the splits.
        generator: draws the order.
    """
    _, codes, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    if len(sizes) < len(SPLITS):
        raise HarnessError(f"data.group: there are {len(sizes)} groups, and each of three splits needs one")
    order = torch.randperm(len(sizes), generator=generator).numpy()
    counted = np.cumsum(sizes[order])
    test = _until(counted, math.ceil(len(groups) * split.test), 0, len(sizes) - 2)
    val = _until(counted, counted[test - 1] + math.ceil(len(groups) * split.val), test, len(sizes) - 1)
    place = np.empty(len(sizes), dtype=int)
    place[order] = np.arange(len(sizes))
    place = place[codes]
    masks = {"train": place >= val, "val": (place >= test) & (place < val), "test": place < test}
    parts = {}
    for name in SPLITS:
        found = torch.from_numpy(np.flatnonzero(masks[name]))
        parts[name] = found[torch.randperm(len(found), generator=generator)]
    return parts


def _until(counted: np.ndarray, wanted: int, first: int, last: int) -> int:
    """How many groups come nearest to so many samples: more than `first`, at most `last`."""
    return min(range(first + 1, last + 1), key=lambda n: abs(int(counted[n - 1]) - wanted))


def divide_ordered(order: np.ndarray, split: Split, generator: torch.Generator) -> Divided:
    """Indices of each split: the first samples are trained on, the next are validation, the last are the test.

    Args:
        order: what to order by (numbers, or texts), [N].
        split: shares of the splits.
        generator: draws the order of the training samples.
    """
    n = len(order)
    counts = {name: len(part) for name, part in divide(n, split, generator).items()}
    keys = order if order.dtype.kind == "f" else order.astype(str)
    ranked = torch.from_numpy(np.argsort(keys, kind="stable"))
    train, val, test = ranked.split([counts["train"], counts["val"], counts["test"]])
    return {"train": train[torch.randperm(len(train), generator=generator)], "val": val, "test": test}


def division(
    values: np.ndarray | None,
    n: int,
    choice: Choice,
    split: Split,
    generator: torch.Generator,
    classes: np.ndarray | None = None,
) -> Divided:
    """Indices of n rows for each split: by the values of the column that the rows are grouped or ordered by, or by
    chance, with the share of each class where the rows' `classes` [n] are given (split.stratify).
    """
    if values is None:
        return divide(n, split, generator, None if classes is None else torch.from_numpy(classes).long())
    return (divide_groups if choice.group else divide_ordered)(values, split, generator)


def dividing_values(frame: pd.DataFrame, plan: Plan, choice: Choice) -> np.ndarray | None:
    """The values of the column that the rows are grouped or ordered by, if there is one."""
    name = choice.group or choice.order
    if not name:
        return None
    column = plan.column(name)
    if choice.order and column.decimal and not column.real:
        column = dataclasses.replace(column, kind="number")
    if choice.group and column.kind == "number":
        column = dataclasses.replace(column, kind="category")  # whole numbers of any size differ, 1 and 1.0 do not
    return column.read(frame[name], plan.missing)
