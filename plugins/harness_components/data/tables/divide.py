"""Splits of a table that keep groups together, or follow an order."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import torch

from harness import SPLITS, Divided, HarnessError, Split, divide
from harness_components.data.tables.plan import Choice, Plan


def divide_groups(groups: np.ndarray, split: Split, generator: torch.Generator) -> Divided:
    """Split so that no group is in two splits.

    Groups are drawn in random order; validation and test take whole groups until they come nearest to their shares.

    Args:
        groups: group of each sample, [N].
        split: shares of the splits.
        generator: draws the order.

    Returns:
        Indices of the samples of each split.

    Raises:
        HarnessError: If there are fewer than three groups.
    """
    _, codes, sizes = np.unique(groups.astype(str), return_inverse=True, return_counts=True)
    if len(sizes) < len(SPLITS):
        raise HarnessError(f"data.group: there are {len(sizes)} groups, and each of three splits needs one")
    order = torch.randperm(len(sizes), generator=generator).numpy()
    totals = np.cumsum(sizes[order])
    test = _until(totals, math.ceil(len(groups) * split.test), 0, len(sizes) - 2)
    val = _until(totals, totals[test - 1] + math.ceil(len(groups) * split.val), test, len(sizes) - 1)
    place = np.empty(len(sizes), dtype=int)
    place[order] = np.arange(len(sizes))
    place = place[codes]
    masks = {"train": place >= val, "val": (place >= test) & (place < val), "test": place < test}
    parts = {}
    for name in SPLITS:
        indices = torch.from_numpy(np.flatnonzero(masks[name]))
        parts[name] = indices[torch.randperm(len(indices), generator=generator)]
    return parts


def _until(totals: np.ndarray, samples: int, first: int, last: int) -> int:
    """Return the number of groups, above `first` and up to `last`, that comes nearest to so many samples."""
    return min(range(first + 1, last + 1), key=lambda n: abs(int(totals[n - 1]) - samples))


def divide_ordered(order: np.ndarray, split: Split, generator: torch.Generator) -> Divided:
    """Split in order: the first samples are for training, the next for validation, the last for the test.

    Args:
        order: values to order by, numbers or texts, [N].
        split: shares of the splits.
        generator: draws the order of the training samples.

    Returns:
        Indices of the samples of each split.
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
    """Return the indices of n rows for each split.

    Args:
        values: values to group or order by, [N]; None splits at random.
        n: number of rows.
        choice: settings of the table.
        split: shares of the splits.
        generator: draws the splits.
        classes: classes of the rows, [N], whose shares each split keeps (split.stratify).
    """
    if values is None:
        return divide(n, split, generator, None if classes is None else torch.from_numpy(classes).long())
    return (divide_groups if choice.group else divide_ordered)(values, split, generator)


def dividing_values(frame: pd.DataFrame, plan: Plan, choice: Choice) -> np.ndarray | None:
    """Return the values of the column that rows are grouped or ordered by, if there is one."""
    name = choice.group or choice.order
    if not name:
        return None
    column = plan.column(name)
    if choice.order and column.decimal and not column.real:
        column = dataclasses.replace(column, kind="number")
    if choice.group and column.kind == "number":
        column = dataclasses.replace(column, kind="category")  # tells large integers apart, takes 1 and 1.0 as equal
    return column.read(frame[name], plan.missing)
