"""Data sets of scikit-learn: real ones, and its generators of shapes."""

from __future__ import annotations

import csv
from typing import Annotated

import numpy as np
from annotated_types import Ge, Interval
from torch import Generator

import harness
from harness import Dataset, Split, from_arrays
from harness.space import Integers, Uniform
from harness_components._compat import sklearn_file

N = Annotated[int, Integers(100, 10_000, log=True), Ge(10), "number of samples"]


def _state(generator: Generator) -> np.random.RandomState:
    """Return a random state for scikit-learn, a function of the generator's seed; the generator is left unchanged."""
    return np.random.RandomState(generator.initial_seed() % 2**32)


def _table(name: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read inputs, classes and the names of the classes from a file that begins with a line of sizes and names."""
    with sklearn_file(name).open(encoding="utf-8", newline="") as file:
        (_, _, *classes), *rows = csv.reader(file)
    table = np.array(rows, dtype=np.float64)
    return table[:, :-1], table[:, -1].astype(int), classes


@harness.data(reads=(), reference="Alpaydin, Kaynak, Optical recognition of handwritten digits, UCI 1998")
def digits(split: Split, generator: Generator) -> Dataset:
    """Handwritten digits: 1,797 grey images of 8 x 8 pixels (values 0 .. 16) in 10 classes.

    >>> data = digits(Split(), Generator())
    >>> data.inputs, len(data.classes)
    ((1, 8, 8), 10)
    """
    table = np.loadtxt(sklearn_file("digits.csv.gz"), delimiter=",")
    images, classes = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(int)
    return from_arrays(images, classes, split, generator, target="class", classes=range(10))


@harness.data(reads=(), reference="Fisher, The use of multiple measurements in taxonomic problems, 1936")
def iris(split: Split, generator: Generator) -> Dataset:
    """Iris flowers: 150 samples of 4 lengths in cm, 3 species.

    >>> data = iris(Split(), Generator())
    >>> data.inputs, data.classes
    ((4,), ('setosa', 'versicolor', 'virginica'))
    """
    x, y, classes = _table("iris.csv")
    return from_arrays(x, y, split, generator, target="class", classes=classes)


@harness.data(reads=(), reference="Aeberhard, Forina, Wine, UCI Machine Learning Repository, 1992")
def wine(split: Split, generator: Generator) -> Dataset:
    """Italian wines: 178 samples of 13 chemical measurements on very different scales, 3 cultivars.

    >>> data = wine(Split(), Generator())
    >>> data.inputs, data.classes
    ((13,), ('class_0', 'class_1', 'class_2'))
    """
    x, y, classes = _table("wine_data.csv")
    return from_arrays(x, y, split, generator, target="class", classes=classes)


@harness.data(
    reads=(), reference="Street, Wolberg, Mangasarian, Nuclear feature extraction for breast tumor diagnosis, SPIE 1993"
)
def breast_cancer(split: Split, generator: Generator) -> Dataset:
    """Breast tumours (Wisconsin): 569 samples of 30 measurements of cell nuclei, malignant or benign.

    >>> data = breast_cancer(Split(), Generator())
    >>> data.inputs, data.classes
    ((30,), ('malignant', 'benign'))
    """
    x, y, classes = _table("breast_cancer.csv")
    return from_arrays(x, y, split, generator, target="class", classes=classes)


@harness.data(
    reads=(), reference="Efron, Hastie, Johnstone, Tibshirani, Least angle regression, Annals of Statistics 2004"
)
def diabetes(split: Split, generator: Generator) -> Dataset:
    """Diabetes patients: 442 samples of 10 measurements; the real target is the disease's progression in a year.

    Inputs are in the units of measurement: scikit-learn's own scaling would leak the test split. Targets `[1]` lie in
    25 .. 346.

    >>> data = diabetes(Split(), Generator())
    >>> data.inputs, data.target
    ((10,), 'real')
    """
    x, y = (np.loadtxt(sklearn_file(name)) for name in ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"))
    return from_arrays(x, y, split, generator, target="real")


@harness.data(reads=())
def moons(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    noise: Annotated[float, Uniform(0, 0.5), Ge(0), "standard deviation of the noise on each coordinate"] = 0.2,
) -> Dataset:
    """Two interleaved half circles in the plane, one for each class, with Gaussian noise.

    Inputs `[2]`.

    >>> data = moons(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((2,), ('upper', 'lower'))
    """
    from sklearn.datasets import make_moons

    x, y = make_moons(n, noise=noise, random_state=_state(generator))
    return from_arrays(x, y, split, generator, target="class", classes=("upper", "lower"))


@harness.data(reads=())
def circles(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    noise: Annotated[float, Uniform(0, 0.3), Ge(0), "standard deviation of the noise on each coordinate"] = 0.1,
    factor: Annotated[
        float, Uniform(0.2, 0.8), Interval(ge=0, lt=1), "radius of the inner circle; the outer has 1"
    ] = 0.5,
) -> Dataset:
    """Two concentric circles in the plane, one for each class, with Gaussian noise.

    Inputs `[2]`.

    >>> data = circles(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((2,), ('outer', 'inner'))
    """
    from sklearn.datasets import make_circles

    x, y = make_circles(n, noise=noise, factor=factor, random_state=_state(generator))
    return from_arrays(x, y, split, generator, target="class", classes=("outer", "inner"))


@harness.data(reads=())
def blobs(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    classes: Annotated[int, Integers(2, 10), Ge(2), "number of clusters, each a class"] = 3,
    features: Annotated[int, Integers(2, 50, log=True), Ge(1), "dimensions of a sample"] = 2,
    deviation: Annotated[float, Uniform(0.2, 3), Ge(0), "standard deviation of a cluster on each coordinate"] = 1.0,
) -> Dataset:
    """Gaussian clusters of equal size, one for each class, with centres uniform in [-10, 10] on each coordinate.

    Inputs `[features]`.

    >>> data = blobs(Split(), Generator(), n=100, classes=4, features=3)
    >>> data.inputs, data.classes
    ((3,), ('0', '1', '2', '3'))
    """
    from sklearn.datasets import make_blobs

    x, y = make_blobs(n, features, centers=classes, cluster_std=deviation, random_state=_state(generator))
    return from_arrays(x, y, split, generator, target="class", classes=range(classes))
