"""Small images by a formula: patterns that can be counted, and noise in which one thing tells the class."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Interval
from torch import Generator

import harness
from harness import Dataset, Samples, Split, from_arrays
from harness.space import Integers, Uniform

N = Annotated[int, Integers(100, 5_000, log=True), Ge(10), "samples"]
Size = Annotated[int, Integers(6, 24), Ge(3), "side of an image in pixels"]

# What planted_pattern hides: a cross with a mean of 0 and a norm of 1, so that brightness does not betray it.
CROSS = np.array([[1.0, -1.0, 1.0], [-1.0, 0.0, -1.0], [1.0, -1.0, 1.0]]) / np.sqrt(8)


@harness.data(reference="MacKay, Information Theory, Inference, and Learning Algorithms, 2003, section 43.2")
def bars_and_stripes(
    split: Split,
    generator: Generator,
    *,
    size: Annotated[int, Integers(3, 8), Interval(ge=2, le=12), "side of an image in pixels, s"] = 4,
    whole: Annotated[
        bool, "every split holds all the patterns, to learn their distribution; else they are divided"
    ] = False,
) -> Dataset:
    """All binary images of whole rows (bars) or whole columns (stripes): 2 · 2ˢ - 2 different ones.

    Inputs [1, s, s] of 0 and 1. The empty and the full image are both: the empty one is counted as bars and the full
    one as stripes, so that each class has 2ˢ - 1.
    """
    lines = (np.arange(2**size)[:, None] >> np.arange(size)) & 1  # [2ˢ, s]: which rows, or columns, are on
    bars = np.repeat(lines[:-1, :, None], size, axis=2)
    stripes = np.repeat(lines[1:, None, :], size, axis=1)
    x, y = np.concatenate([bars, stripes])[:, None], np.repeat([0, 1], 2**size - 1)
    dataset = from_arrays(x, y, split, generator, target="class", classes=("bars", "stripes"))
    if not whole:
        return dataset
    part = Samples(torch.as_tensor(x, dtype=torch.float32), torch.as_tensor(y))
    return replace(dataset, train=part, val=part, test=part, repeats=True)


def _noise(n: int, size: int, generator: Generator) -> tuple[np.random.Generator, np.ndarray, np.ndarray]:
    """(what more can be drawn from, images of noise [n, 1, size, size], classes 0 and 1 in turn)."""
    rng = np.random.default_rng(generator.initial_seed())
    return rng, rng.standard_normal((n, 1, size, size)), np.arange(n) % 2


@harness.data(
    reference="Boureau, Ponce, LeCun, A theoretical analysis of feature pooling in visual recognition, ICML 2010"
)
def spike(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    size: Size = 12,
    height: Annotated[float, Uniform(2, 12), Ge(0), "of the bright pixel above the noise, in its deviations"] = 8.0,
) -> Dataset:
    """Images of noise, of which one class has a single bright pixel somewhere: the largest value tells it.

    x ~ N(0, 1); for class 1, `height` is added to one pixel at a place drawn by chance.  Inputs [1, size, size].
    """
    rng, x, y = _noise(n, size, generator)
    flat = x.reshape(n, -1)  # a view
    flat[np.arange(n), rng.integers(0, size * size, n)] += height * y
    return from_arrays(x, y, split, generator, target="class", classes=("noise", "spike"))


@harness.data(
    reference="Boureau, Ponce, LeCun, A theoretical analysis of feature pooling in visual recognition, ICML 2010"
)
def mean(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    size: Size = 12,
    difference: Annotated[
        float, Uniform(0.1, 1), Ge(0), "between the classes' means, in deviations of the noise"
    ] = 0.4,
) -> Dataset:
    """Images of noise, of which one class is a little brighter all over: the mean tells it, no pixel does.

    x ~ N(± difference / 2, 1).  Inputs [1, size, size].
    """
    _, x, y = _noise(n, size, generator)
    x += difference * (y - 0.5)[:, None, None, None]
    return from_arrays(x, y, split, generator, target="class", classes=("dark", "bright"))


@harness.data
def planted_pattern(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    size: Size = 12,
    strength: Annotated[float, Uniform(2, 12), Ge(0), "norm of the pattern, in deviations of the noise"] = 8.0,
) -> Dataset:
    """Images of noise, of which one class has a small cross planted somewhere: a filter like it tells it best.

    x ~ N(0, 1); for class 1, strength · P is added at a place drawn by chance, with P a 3 x 3 cross of norm 1 and
    mean 0 (`harness_components.data.synthetic.images.CROSS`).  Inputs [1, size, size].
    """
    rng, x, y = _noise(n, size, generator)
    place = rng.integers(0, size - 2, (n, 2))
    for index in np.flatnonzero(y):
        row, column = place[index]
        x[index, 0, row : row + 3, column : column + 3] += strength * CROSS
    return from_arrays(x, y, split, generator, target="class", classes=("noise", "planted"))
