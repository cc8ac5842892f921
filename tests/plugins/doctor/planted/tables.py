"""Realistic tables from scikit-learn's generators: noisy, imbalanced, small, wide, of mixed scales."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

import harness
from harness.config.settings import Split
from harness.datasets.dataset import Dataset, from_arrays


def scaled(x: np.ndarray, decades: float, rng: np.random.Generator) -> np.ndarray:
    """Columns in units of their own, up to so many decades apart from 1, and shifted by as much."""
    units = 10 ** rng.uniform(-decades, decades, x.shape[1])
    return (x + rng.uniform(-1, 1, x.shape[1]) * decades) * units


@harness.data
def rows(
    split: Split,
    generator: torch.Generator,
    *,
    n: int = 600,
    features: int = 12,
    informative: int = 6,
    classes: int = 2,
    clusters: int = 1,
    apart: float = 1.5,
    flip: float = 0.0,
    rare: float = 0.0,
    decades: float = 0.0,
    copies: int = 1,
    shuffled: bool = False,
    told: bool = False,
    draw: int = 0,
) -> Dataset:
    """Classes. A share `flip` of all labels is drawn at random, `rare` is the share of the last class, each row is
    there `copies` times; `shuffled` labels belong to other rows, and of `told` ones the last column is the label.
    """
    from sklearn.datasets import make_classification

    weights = None if not rare else [(1 - rare) / (classes - 1)] * (classes - 1) + [rare]
    x, y = make_classification(
        n, features, n_informative=informative, n_redundant=min(2, features - informative), n_classes=classes,
        n_clusters_per_class=clusters, weights=weights, flip_y=flip, class_sep=apart, random_state=draw,
    )  # fmt: skip
    rng = np.random.default_rng(draw)
    x = scaled(x, decades, rng)
    if told:
        x = np.column_stack([x, y * 2.0 + 1])
    if shuffled:
        y = rng.permutation(y)
    x, y = np.tile(x, (copies, 1)), np.tile(y, copies)
    return from_arrays(x, y, split, generator, target="class", classes=range(classes))


@harness.data
def amounts(
    split: Split,
    generator: torch.Generator,
    *,
    kind: Literal["linear", "friedman", "pairs", "steps"] = "linear",
    n: int = 600,
    features: int = 10,
    noise: float = 0.1,
    unit: float = 1.0,
    shift: float = 0.0,
    decades: float = 0.0,
    copies: int = 1,
    shuffled: bool = False,
    constant: bool = False,
    told: bool = False,
    draw: int = 0,
) -> Dataset:
    """Numbers, with noise of so many of their deviations, in some unit: linear in half of the features, Friedman's
    first problem, products of pairs, or steps.
    """
    rng = np.random.default_rng(draw)
    x = rng.uniform(-1, 1, (n, features))
    if kind == "linear":
        y = x[:, : features // 2] @ rng.uniform(0.5, 2, features // 2)
    elif kind == "friedman":
        z = (x + 1) / 2
        y = 10 * np.sin(np.pi * z[:, 0] * z[:, 1]) + 20 * (z[:, 2] - 0.5) ** 2 + 10 * z[:, 3] + 5 * z[:, 4]
    elif kind == "pairs":
        y = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3]
    else:
        y = np.sign(x[:, 0]) + np.sign(x[:, 1] - 0.3)
    y = y / y.std() + noise * rng.standard_normal(n)
    y = unit * y + shift
    x = scaled(x, decades, rng)
    if told:
        x = np.column_stack([x, 3.0 * y + 1])
    if shuffled:
        y = rng.permutation(y)
    if constant:
        y = np.full(n, shift)
    x, y = np.tile(x, (copies, 1)), np.tile(y, copies)
    return from_arrays(x, y[:, None], split, generator, target="real")


@harness.data
def drawn(
    split: Split,
    generator: torch.Generator,
    *,
    kind: Literal["quantiles", "hastie", "checks", "friedman2", "friedman3", "sparse", "low_rank"] = "quantiles",
    n: int = 600,
    features: int = 10,
    classes: int = 2,
    flip: float = 0.0,
    rare: float = 0.0,
    noise: float = 0.1,
    unit: float = 1.0,
    draw: int = 0,
) -> Dataset:
    """Other generators than those of `rows` and `amounts`, for advice alone.

    Classes: shells of a normal distribution, Hastie's example 10.2, a chessboard of four fields; a share `flip` of the
    labels is drawn at random, and a share `rare` of the rows has the last class (0: as drawn). Amounts: Friedman's
    second and third problem, a sparse linear one, inputs of low rank; `noise` in deviations of the target.
    """
    from sklearn import datasets

    rng = np.random.default_rng(draw)
    more = 4 * n if rare else n
    if kind in ("quantiles", "hastie", "checks"):
        if kind == "quantiles":
            x, y = datasets.make_gaussian_quantiles(n_samples=more, n_features=features, n_classes=classes,
                                                    random_state=draw)  # fmt: skip
        elif kind == "hastie":
            x, y = datasets.make_hastie_10_2(more, random_state=draw)
            y = (y > 0).astype(int)
        else:
            x = rng.uniform(-1, 1, (more, features))
            y = ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int)
        if rare:
            few, many = np.flatnonzero(y == y.max()), np.flatnonzero(y != y.max())
            kept = np.concatenate([few[: round(rare * n)], many[: n - round(rare * n)]])
            x, y = x[kept], y[kept]
        y = np.where(rng.uniform(size=len(y)) < flip, rng.permutation(y), y)
        return from_arrays(x, y, split, generator, target="class", classes=range(classes))
    if kind == "sparse":
        x, y = datasets.make_sparse_uncorrelated(n, features, random_state=draw)
    elif kind == "low_rank":
        x, y = datasets.make_regression(n, features, n_informative=5, effective_rank=8, random_state=draw)
    else:
        make = datasets.make_friedman2 if kind == "friedman2" else datasets.make_friedman3
        x, y = make(n, random_state=draw)
    y = unit * (y / y.std() + noise * rng.standard_normal(len(y)))
    return from_arrays(x, y[:, None], split, generator, target="real")
