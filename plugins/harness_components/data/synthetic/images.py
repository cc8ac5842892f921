"""Small images by a formula: countable patterns, and noise with one feature that depends on the class."""

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

N = Annotated[int, Integers(100, 5_000, log=True), Ge(10), "number of samples"]
Size = Annotated[int, Integers(6, 24), Ge(3), "side of an image, in pixels"]

# The pattern of planted_pattern: a cross of mean 0, which leaves the brightness unchanged, and norm 1
CROSS = np.array([[1.0, -1.0, 1.0], [-1.0, 0.0, -1.0], [1.0, -1.0, 1.0]]) / np.sqrt(8)


@harness.data(reads=(), reference="MacKay, Information Theory, Inference, and Learning Algorithms, 2003, section 43.2")
def bars_and_stripes(
    split: Split,
    generator: Generator,
    *,
    size: Annotated[int, Integers(3, 8), Interval(ge=2, le=12), "side s of an image, in pixels"] = 4,
    whole: Annotated[
        bool, "every split holds all patterns, to learn their distribution; false: they are split"
    ] = False,
) -> Dataset:
    """All binary images of whole rows (bars) or whole columns (stripes): 2 · 2ˢ - 2 different ones.

    Inputs `[1, s, s]` of 0 and 1. The empty and the full image are both bars and stripes: the empty one is labelled
    bars and the full one stripes, so that each class has 2ˢ - 1 images.

    >>> data = bars_and_stripes(Split(), Generator(), size=4)
    >>> data.inputs, data.classes
    ((1, 4, 4), ('bars', 'stripes'))
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
    """Return a generator for further draws, images of noise [n, 1, size, size], and alternating classes 0 and 1."""
    rng = np.random.default_rng(generator.initial_seed())
    return rng, rng.standard_normal((n, 1, size, size)), np.arange(n) % 2


@harness.data(
    reads=(),
    reference="Boureau, Ponce, LeCun, A theoretical analysis of feature pooling in visual recognition, ICML 2010",
)
def spike(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    size: Size = 12,
    height: Annotated[
        float, Uniform(2, 12), Ge(0), "height of the bright pixel, in standard deviations of the noise"
    ] = 8.0,
) -> Dataset:
    """Images of noise, with a single bright pixel in one class: the maximum tells the classes apart.

        x ~ N(0, 1), plus `height` at one random pixel for class 1

    Inputs `[1, size, size]`.

    >>> data = spike(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((1, 12, 12), ('noise', 'spike'))
    """
    rng, x, y = _noise(n, size, generator)
    flat = x.reshape(n, -1)  # a view
    flat[np.arange(n), rng.integers(0, size * size, n)] += height * y
    return from_arrays(x, y, split, generator, target="class", classes=("noise", "spike"))


@harness.data(
    reads=(),
    reference="Boureau, Ponce, LeCun, A theoretical analysis of feature pooling in visual recognition, ICML 2010",
)
def mean(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    size: Size = 12,
    difference: Annotated[
        float, Uniform(0.1, 1), Ge(0), "difference of the means, in standard deviations of the noise"
    ] = 0.4,
) -> Dataset:
    """Images of noise, a little brighter all over in one class: the mean tells the classes apart, no single pixel does.

        x ~ N(± difference / 2, 1)

    Inputs `[1, size, size]`.

    >>> data = mean(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((1, 12, 12), ('dark', 'bright'))
    """
    _, x, y = _noise(n, size, generator)
    x += difference * (y - 0.5)[:, None, None, None]
    return from_arrays(x, y, split, generator, target="class", classes=("dark", "bright"))


@harness.data(reads=())
def planted_pattern(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    size: Size = 12,
    strength: Annotated[float, Uniform(2, 12), Ge(0), "norm of the pattern, in standard deviations of the noise"] = 8.0,
) -> Dataset:
    """Images of noise, with a small cross at a random place in one class: a matched filter tells the classes apart.

    With P a 3 x 3 cross of norm 1 and mean 0:

        x ~ N(0, 1), plus strength · P at a random place for class 1

    Inputs `[1, size, size]`.

    >>> data = planted_pattern(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((1, 12, 12), ('noise', 'planted'))
    """
    rng, x, y = _noise(n, size, generator)
    place = rng.integers(0, size - 2, (n, 2))
    for index in np.flatnonzero(y):
        row, column = place[index]
        x[index, 0, row : row + 3, column : column + 3] += strength * CROSS
    return from_arrays(x, y, split, generator, target="class", classes=("noise", "planted"))
