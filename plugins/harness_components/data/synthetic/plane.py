"""Classes in the plane: problems that no linear classifier solves."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt
from torch import Generator

import harness
from harness import Dataset, Split, from_arrays
from harness.space import Integers, Log, Uniform

N = Annotated[int, Integers(100, 10_000, log=True), Ge(10), "number of samples"]
Noise = Annotated[float, Uniform(0, 0.5), Ge(0), "standard deviation of the noise on each coordinate"]


@harness.data(reads=(), reference="Minsky, Papert, Perceptrons, 1969")
def xor(split: Split, generator: Generator, *, n: N = 1000, noise: Noise = 0.2) -> Dataset:
    """Exclusive or: four clusters at (±1, ±1), whose class is the product of the signs.

    With c one of the four corners, equally often, and ε ~ N(0, 1):

        x = c + noise · ε
        y = [c₁ c₂ < 0]

    Inputs `[2]`.

    >>> data = xor(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((2,), ('same', 'different'))
    """
    rng = np.random.default_rng(generator.initial_seed())
    corner = np.arange(n) % 4
    centre = np.stack([2.0 * (corner // 2) - 1, 2.0 * (corner % 2) - 1], axis=1)
    x = centre + noise * rng.standard_normal((n, 2))
    return from_arrays(x, centre.prod(1) < 0, split, generator, target="class", classes=("same", "different"))


@harness.data(
    reads=(), reference="Lang, Witbrock, Learning to tell two spirals apart, Connectionist Models Summer School 1988"
)
def spirals(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    noise: Annotated[float, Uniform(0, 0.1), Ge(0), "standard deviation of the noise on each coordinate"] = 0.02,
    arms: Annotated[int, Integers(2, 5), Ge(2), "number of spirals, each a class"] = 2,
    turns: Annotated[float, Uniform(0.5, 3), Gt(0), "turns about the origin"] = 1.5,
) -> Dataset:
    """Interleaved spirals from the origin to the unit circle, one for each class, with Gaussian noise.

    With θ = 2π (turns · r + class / arms), r² uniform in [0, 1] and ε ~ N(0, 1):

        x = r (cos θ, sin θ) + noise · ε

    Inputs `[2]`.

    >>> data = spirals(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((2,), ('0', '1'))
    """
    rng = np.random.default_rng(generator.initial_seed())
    arm = np.arange(n) % arms
    radius = np.sqrt(rng.random(n))  # about uniform along the arm, whose length grows as the square
    angle = 2 * math.pi * (turns * radius + arm / arms)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * rng.standard_normal((n, 2))
    return from_arrays(x, arm, split, generator, target="class", classes=range(arms))


@harness.data(reads=(), reference="Srivastava et al., VEEGAN, NeurIPS 2017, arXiv:1705.07761, section 4.1")
def ring_mixture(
    split: Split,
    generator: Generator,
    *,
    n: N = 2000,
    modes: Annotated[int, Integers(2, 16), Ge(2), "number of Gaussians, each a class"] = 8,
    radius: Annotated[float, Uniform(0.5, 4), Gt(0), "radius of the ring"] = 1.0,
    deviation: Annotated[float, Log(0.005, 0.2), Ge(0), "standard deviation σ of a Gaussian on each coordinate"] = 0.05,
) -> Dataset:
    """A mixture of Gaussians with centres evenly on a ring; the class is the mode.

    For mode k of K = `modes`, equally often, and ε ~ N(0, 1):

        x = radius · (cos 2πk/K, sin 2πk/K) + σ ε

    Inputs `[2]`.

    >>> data = ring_mixture(Split(), Generator(), n=100, modes=4)
    >>> data.inputs, data.classes
    ((2,), ('0', '1', '2', '3'))
    """
    rng = np.random.default_rng(generator.initial_seed())
    mode = np.arange(n) % modes
    angle = 2 * math.pi * mode / modes
    centre = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = centre + deviation * rng.standard_normal((n, 2))
    return from_arrays(x, mode, split, generator, target="class", classes=range(modes))
