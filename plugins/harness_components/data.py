"""Data that scikit-learn brings: real sets, and shapes drawn by its generators."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge
from torch import Generator

import harness
from harness.dataset import Dataset, from_arrays
from harness.settings import Split
from harness.space import Integers, Uniform


@harness.data(reference="Alpaydin, Kaynak, Optical recognition of handwritten digits, UCI 1998")
def digits(split: Split, generator: Generator) -> Dataset:
    """Handwritten digits: 1,797 grey images of 8 x 8 pixels (values 0 .. 16) in 10 classes.

    Inputs [1, 8, 8]; classes 0 .. 9.
    """
    from sklearn.datasets import load_digits

    found = load_digits()
    return from_arrays(found.images[:, None], found.target, split, generator, target="class", classes=range(10))


@harness.data(reference="Fisher, The use of multiple measurements in taxonomic problems, 1936")
def iris(split: Split, generator: Generator) -> Dataset:
    """Iris flowers: 150 samples of 4 lengths in cm, 3 species. Inputs [4]."""
    from sklearn.datasets import load_iris

    found = load_iris()
    return from_arrays(found.data, found.target, split, generator, target="class", classes=list(found.target_names))


@harness.data
def moons(
    split: Split,
    generator: Generator,
    *,
    n: Annotated[int, Integers(100, 10_000, log=True), Ge(10), "samples"] = 1000,
    noise: Annotated[float, Uniform(0, 0.5), Ge(0), "deviation of the noise on each coordinate"] = 0.2,
) -> Dataset:
    """Two interleaved half circles in the plane, one a class, with Gaussian noise. Inputs [2]."""
    from sklearn.datasets import make_moons

    seed = np.random.RandomState(generator.initial_seed() % 2**32)
    x, y = make_moons(n, noise=noise, random_state=seed)
    return from_arrays(x, y, split, generator, target="class", classes=("upper", "lower"))
