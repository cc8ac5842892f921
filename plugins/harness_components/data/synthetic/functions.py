"""Real targets by a formula: benefits of depth, outliers, sparse inputs, categories and manifolds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator

import harness
from harness import Dataset, HarnessError, Samples, Split, from_arrays
from harness.space import Integers, Log, Uniform

N = Annotated[int, Integers(100, 10_000, log=True), Ge(10), "number of samples"]
Noise = Annotated[float, Uniform(0, 0.5), Ge(0), "standard deviation of the noise on the target"]


@harness.data(reads=(), reference="Telgarsky, Benefits of depth in neural networks, COLT 2016, arXiv:1602.04485")
def tent(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    compositions: Annotated[int, Integers(1, 6), Interval(ge=1, le=20), "number of compositions k"] = 3,
    noise: Noise = 0.0,
) -> Dataset:
    """The tent map composed k times: a sawtooth of 2ᵏ⁻¹ teeth, which k narrow layers can represent.

    With T(x) = 2 min(x, 1 - x), x uniform in [0, 1] and ε ~ N(0, 1):

        y = (T ∘ ... ∘ T)(x) + noise · ε

    A ReLU network of depth about k and constant width represents it; a shallow one needs about 2ᵏ units. Inputs `[1]`,
    targets `[1]`.

    >>> data = tent(Split(), Generator(), n=100)
    >>> data.inputs, data.target
    ((1,), 'real')
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = y = rng.random((n, 1)).astype(np.float32).astype(np.float64)  # inputs of the model are float32
    for _ in range(compositions):
        y = 2 * np.minimum(y, 1 - y)
    return from_arrays(x, y + noise * rng.standard_normal((n, 1)), split, generator, target="real")


@harness.data(
    reads=(), reference="Eldan, Shamir, The power of depth for feedforward neural networks, COLT 2016, arXiv:1512.03965"
)
def radial(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    features: Annotated[int, Integers(1, 20), Ge(1), "dimensions d"] = 3,
    frequency: Annotated[float, Uniform(0.5, 4), Gt(0), "half waves between the origin and the unit sphere, f"] = 2.0,
    noise: Noise = 0.0,
) -> Dataset:
    """A radial wave: a function of the norm alone, easier for two hidden layers than for one.

    With x of uniform direction, ‖x‖ uniform in [0, 1], f = `frequency` and ε ~ N(0, 1):

        y = cos(π f ‖x‖) + noise · ε

    The first hidden layer can sum the squares and the second bend the sum; with a single hidden layer the width needed
    grows exponentially with d. Inputs `[features]`, targets `[1]`.

    >>> data = radial(Split(), Generator(), n=100, features=3)
    >>> data.inputs, data.target
    ((3,), 'real')
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.standard_normal((n, features))
    radius = rng.random((n, 1))
    x *= radius / np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cos(math.pi * frequency * radius) + noise * rng.standard_normal((n, 1))
    return from_arrays(x, y, split, generator, target="real")


@harness.data(
    reads=(),
    reference="Poggio, Mhaskar, Rosasco, Miranda, Liao, Why and when can deep, but not shallow, networks avoid the "
    "curse of dimensionality, 2017, arXiv:1611.00740",
)
def compositional(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    levels: Annotated[int, Integers(1, 4), Interval(ge=1, le=10), "levels L of the tree"] = 3,
    noise: Noise = 0.0,
) -> Dataset:
    """A binary tree of functions of two variables, which a network of the tree's depth can follow.

    With x uniform in [-1, 1]^(2ᴸ), ε ~ N(0, 1) and at each node h(a, b) = cos(π (a + 2 b) / 2):

        y = h(h(x₁, x₂), h(x₃, x₄)) + noise · ε, for L = 2

    Inputs `[2ᴸ]`, targets `[1]`.

    >>> data = compositional(Split(), Generator(), n=100, levels=3)
    >>> data.inputs, data.target
    ((8,), 'real')
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.uniform(-1, 1, (n, 2**levels))
    y = x
    for _ in range(levels):
        y = np.cos(math.pi * (y[:, 0::2] + 2 * y[:, 1::2]) / 2)
    return from_arrays(x, y + noise * rng.standard_normal((n, 1)), split, generator, target="real")


@harness.data(
    reads=(), reference="Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics 1964"
)
def line(
    split: Split,
    generator: Generator,
    *,
    n: N = 200,
    slope: Annotated[float, "slope a"] = 2.0,
    intercept: Annotated[float, "intercept b"] = 1.0,
    noise: Annotated[float, Uniform(0, 0.5), Ge(0), "standard deviation of the noise on the target"] = 0.1,
    outliers: Annotated[
        float, Uniform(0, 0.4), Interval(ge=0, le=1), "share p of outliers in training and validation"
    ] = 0.1,
    distance: Annotated[float, Uniform(1, 20), "distance by which an outlier is moved up"] = 10.0,
) -> Dataset:
    """A straight line with outliers on one side in training and validation, and none in the test split.

    With x uniform in [-1, 1] and ε ~ N(0, 1):

        y = a x + b + noise · ε

    round(p · N) targets of training and of validation are moved up by `distance`. The test error shows how far the
    outliers pull the fit: compare loss=mse with mae and huber. Inputs `[1]`, targets `[1]`.

    >>> data = line(Split(), Generator(), n=100)
    >>> data.inputs, data.target
    ((1,), 'real')
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.uniform(-1, 1, (n, 1))
    y = slope * x + intercept + noise * rng.standard_normal((n, 1))
    dataset = from_arrays(x, y, split, generator, target="real")

    def with_outliers(part: object) -> Samples:
        assert isinstance(part, Samples)
        chosen = torch.randperm(len(part), generator=generator)[: round(outliers * len(part))]
        y = part.y.clone()
        y[chosen] += distance
        return Samples(part.x, y)

    return replace(dataset, train=with_outliers(dataset.train), val=with_outliers(dataset.val))


@harness.data(reads=(), reference="Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 1996")
def sparse_regression(
    split: Split,
    generator: Generator,
    *,
    n: N = 200,
    features: Annotated[int, Integers(10, 200, log=True), Ge(1), "inputs d"] = 50,
    informative: Annotated[int, Integers(1, 10), Ge(1), "inputs k that matter"] = 5,
    noise: Noise = 0.1,
) -> Dataset:
    """A linear target that depends on the first k of d inputs.

    With x ~ N(0, I) and ε ~ N(0, 1):

        y = x₁ - x₂ + x₃ - ... ± x_k + noise · ε

    The true weights are 1 and -1 in turn, then 0. Inputs `[features]`, targets `[1]`.

    >>> data = sparse_regression(Split(), Generator(), n=100, features=20)
    >>> data.inputs, data.target
    ((20,), 'real')
    """
    if informative > features:
        raise HarnessError(f"data.informative={informative} must be at most data.features={features}")
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.standard_normal((n, features))
    weights = np.where(np.arange(features) < informative, (-1.0) ** np.arange(features), 0.0)
    y = x @ weights + noise * rng.standard_normal(n)
    return from_arrays(x, y, split, generator, target="real")


@harness.data(reads=(), reference="Stevens, On the theory of scales of measurement, Science 1946")
def categories(
    split: Split,
    generator: Generator,
    *,
    n: N = 500,
    levels: Annotated[int, Integers(3, 20), Ge(2), "number of categories L"] = 8,
    scale: Annotated[
        Literal["nominal", "ordinal"], "nominal: codes without order; ordinal: the effect rises with the code"
    ] = "nominal",
    noise: Noise = 0.1,
) -> Dataset:
    """A category coded as an integer beside a real input; the target is the sum of both effects.

    With c uniform in 0 .. L - 1, z uniform in [-1, 1], ε ~ N(0, 1), and L effects e equally spaced in [-1, 1], in the
    order of the codes (ordinal) or shuffled (nominal):

        y = e[c] + z + noise · ε

    Inputs `[2]`, (c, z); targets `[1]`.

    >>> data = categories(Split(), Generator(), n=100)
    >>> data.inputs, data.target
    ((2,), 'real')
    """
    rng = np.random.default_rng(generator.initial_seed())
    effects = np.linspace(-1, 1, levels)
    if scale == "nominal":
        effects = rng.permutation(effects)
    c, z = np.arange(n) % levels, rng.uniform(-1, 1, n)
    y = effects[c] + z + noise * rng.standard_normal(n)
    return from_arrays(np.stack([c, z], axis=1), y, split, generator, target="real")


@harness.data(reads=())
def manifold(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    dimensions: Annotated[int, Integers(1, 4), Ge(1), "dimensions k of the manifold"] = 2,
    features: Annotated[int, Integers(8, 64, log=True), Ge(1), "dimensions d of the space around it"] = 20,
    curved: Annotated[bool, "a curved manifold, which a linear code needs 2 k numbers for"] = True,
    noise: Annotated[float, Log(1e-3, 0.3), Ge(0), "standard deviation of the noise on each input"] = 0.01,
) -> Dataset:
    """A smooth k-dimensional manifold in d dimensions; the target is the position on it, for an autoencoder the inputs.

    With u uniform in [-1, 1]ᵏ, z = (u, sin πu) if curved and else u, Q with orthonormal rows and ε ~ N(0, 1):

        x = z Q + noise · ε

    Inputs x `[features]`, targets u `[dimensions]`.

    >>> data = manifold(Split(), Generator(), n=100, dimensions=2, features=20)
    >>> data.inputs, data.target
    ((20,), 'real')
    """
    rank = dimensions * (2 if curved else 1)
    if rank > features:
        raise HarnessError(
            f"data.features={features} is too small: {'a curved' if curved else 'a flat'} manifold of "
            f"{dimensions} dimensions needs data.features={rank} or more"
        )
    rng = np.random.default_rng(generator.initial_seed())
    u = rng.uniform(-1, 1, (n, dimensions))
    z = np.concatenate([u, np.sin(math.pi * u)], axis=1) if curved else u
    q, _ = np.linalg.qr(rng.standard_normal((features, rank)))
    return from_arrays(z @ q.T + noise * rng.standard_normal((n, features)), u, split, generator, target="real")


@harness.data(
    reads=(),
    reference="Tenenbaum, de Silva, Langford, A global geometric framework for nonlinear dimensionality reduction, "
    "Science 2000",
)
def swiss_roll(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    noise: Annotated[float, Uniform(0, 1), Ge(0), "standard deviation of the noise on each input"] = 0.0,
) -> Dataset:
    """A rolled-up sheet in three dimensions; the target is the position on the sheet, its angle t and height h.

    With t uniform in [1.5 π, 4.5 π], h uniform in [0, 21] and ε ~ N(0, 1):

        x = (t cos t, h, t sin t) + noise · ε

    Inputs `[3]`, targets (t, h) `[2]`.

    >>> data = swiss_roll(Split(), Generator(), n=100)
    >>> data.inputs, data.target
    ((3,), 'real')
    """
    from sklearn.datasets import make_swiss_roll

    seed = generator.initial_seed() % 2**32
    x, angle = make_swiss_roll(n, noise=noise, random_state=np.random.RandomState(seed))
    clean, _ = make_swiss_roll(n, noise=0.0, random_state=np.random.RandomState(seed))  # draws the sheet first
    return from_arrays(x, np.stack([angle, clean[:, 1]], axis=1), split, generator, target="real")
