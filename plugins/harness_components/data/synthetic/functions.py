"""Real targets by a formula: what shows what depth buys, what outliers do, which inputs matter, what has few degrees
of freedom.
"""

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

N = Annotated[int, Integers(100, 10_000, log=True), Ge(10), "samples"]
Noise = Annotated[float, Uniform(0, 0.5), Ge(0), "deviation of the noise on the target"]


@harness.data(reference="Telgarsky, Benefits of depth in neural networks, COLT 2016, arXiv:1602.04485")
def tent(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    compositions: Annotated[int, Integers(1, 6), Interval(ge=1, le=20), "how often the map is applied, k"] = 3,
    noise: Noise = 0.0,
) -> Dataset:
    """The tent map applied k times to its own result: a saw of 2ᵏ⁻¹ teeth, that k narrow layers can make. Inputs [1].

    y = (T ∘ ... ∘ T)(x) + noise · ε  with T(x) = 2 min(x, 1 - x) and x even over [0, 1].
    A ReLU network of depth about k and constant width represents it; a shallow one needs about 2ᵏ units.
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = y = rng.random((n, 1)).astype(np.float32).astype(np.float64)  # what is learned from is float32
    for _ in range(compositions):
        y = 2 * np.minimum(y, 1 - y)
    return from_arrays(x, y + noise * rng.standard_normal((n, 1)), split, generator, target="real")


@harness.data(
    reference="Eldan, Shamir, The power of depth for feedforward neural networks, COLT 2016, arXiv:1512.03965"
)
def radial(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    features: Annotated[int, Integers(1, 20), Ge(1), "dimensions, d"] = 3,
    frequency: Annotated[float, Uniform(0.5, 4), Gt(0), "half waves between the origin and the unit sphere"] = 2.0,
    noise: Noise = 0.0,
) -> Dataset:
    """A wave about the origin, a function of the norm alone; in one dimension a smooth curve. Inputs [features].

    y = cos(π · frequency · ‖x‖) + noise · ε,  x of even direction and of norm even over [0, 1].
    One hidden layer sums the square of each coordinate and the next bends the sum; with one layer only, such functions
    want widths that grow exponentially with d.
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.standard_normal((n, features))
    radius = rng.random((n, 1))
    x *= radius / np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cos(math.pi * frequency * radius) + noise * rng.standard_normal((n, 1))
    return from_arrays(x, y, split, generator, target="real")


@harness.data(
    reference="Poggio, Mhaskar, Rosasco, Miranda, Liao, Why and when can deep, but not shallow, networks avoid the "
    "curse of dimensionality, 2017, arXiv:1611.00740"
)
def compositional(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    levels: Annotated[int, Integers(1, 4), Interval(ge=1, le=10), "of the tree, L"] = 3,
    noise: Noise = 0.0,
) -> Dataset:
    """A binary tree of functions of two variables, over 2ᴸ inputs: a network with the tree's depth can follow it.

    y = h_L + noise · ε  with h₀ = x even over [-1, 1]^(2ᴸ) and, at each node,  h(a, b) = cos(π (a + 2 b) / 2).
    Inputs [2ᴸ]; for L = 2,  y = h(h(x₁, x₂), h(x₃, x₄)).
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.uniform(-1, 1, (n, 2**levels))
    y = x
    for _ in range(levels):
        y = np.cos(math.pi * (y[:, 0::2] + 2 * y[:, 1::2]) / 2)
    return from_arrays(x, y + noise * rng.standard_normal((n, 1)), split, generator, target="real")


@harness.data(reference="Huber, Robust estimation of a location parameter, Annals of Mathematical Statistics 1964")
def line(
    split: Split,
    generator: Generator,
    *,
    n: N = 200,
    slope: float = 2.0,
    intercept: float = 1.0,
    noise: Annotated[float, Uniform(0, 0.5), Ge(0), "deviation of the noise on the target"] = 0.1,
    outliers: Annotated[float, Uniform(0, 0.4), Interval(ge=0, le=1), "share of training and validation, p"] = 0.1,
    distance: Annotated[float, Uniform(1, 20), "how far an outlier is moved up"] = 10.0,
) -> Dataset:
    """A straight line with outliers, all on one side, in training and validation; the test split has none. Inputs [1].

    y = slope · x + intercept + noise · ε  with x even over [-1, 1]; round(p · N) targets of a split are moved up by
    `distance`. The test error then tells how far the outliers have pulled the line.
    """
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.uniform(-1, 1, (n, 1))
    y = slope * x + intercept + noise * rng.standard_normal((n, 1))
    dataset = from_arrays(x, y, split, generator, target="real")

    def pulled(part: object) -> Samples:
        assert isinstance(part, Samples)
        chosen = torch.randperm(len(part), generator=generator)[: round(outliers * len(part))]
        y = part.y.clone()
        y[chosen] += distance
        return Samples(part.x, y)

    return replace(dataset, train=pulled(dataset.train), val=pulled(dataset.val))


@harness.data(reference="Tibshirani, Regression shrinkage and selection via the lasso, JRSS B 1996")
def sparse_regression(
    split: Split,
    generator: Generator,
    *,
    n: N = 200,
    features: Annotated[int, Integers(10, 200, log=True), Ge(1), "inputs, d"] = 50,
    informative: Annotated[int, Integers(1, 10), Ge(1), "inputs that matter, k"] = 5,
    noise: Noise = 0.1,
) -> Dataset:
    """A linear target of which only the first k of d inputs matter. Inputs [features].

    y = x₁ - x₂ + x₃ - ... ± x_k + noise · ε  with x ~ N(0, I): the true weights are 1 and -1 in turn, then 0.
    """
    if informative > features:
        raise HarnessError(f"data.informative={informative} is more than data.features={features}")
    rng = np.random.default_rng(generator.initial_seed())
    x = rng.standard_normal((n, features))
    weights = np.where(np.arange(features) < informative, (-1.0) ** np.arange(features), 0.0)
    y = x @ weights + noise * rng.standard_normal(n)
    return from_arrays(x, y, split, generator, target="real")


@harness.data(reference="Stevens, On the theory of scales of measurement, Science 1946")
def categories(
    split: Split,
    generator: Generator,
    *,
    n: N = 500,
    levels: Annotated[int, Integers(3, 20), Ge(2), "different categories, L"] = 8,
    scale: Annotated[
        Literal["nominal", "ordinal"], "nominal: the codes are names; ordinal: the effect rises with the code"
    ] = "nominal",
    noise: Noise = 0.1,
) -> Dataset:
    """A category, coded as a whole number, and a measure beside it; the target is the sum of what both do. Inputs [2].

    y = e[c] + z + noise · ε  with c even over 0 .. L - 1, z even over [-1, 1], and L effects e at equal distances over
    [-1, 1]: in the order of the codes (ordinal), or in one drawn with the sample (nominal).
    """
    rng = np.random.default_rng(generator.initial_seed())
    effects = np.linspace(-1, 1, levels)
    if scale == "nominal":
        effects = rng.permutation(effects)
    c, z = np.arange(n) % levels, rng.uniform(-1, 1, n)
    y = effects[c] + z + noise * rng.standard_normal(n)
    return from_arrays(np.stack([c, z], axis=1), y, split, generator, target="real")


@harness.data
def manifold(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    dimensions: Annotated[int, Integers(1, 4), Ge(1), "of the manifold, k"] = 2,
    features: Annotated[int, Integers(8, 64, log=True), Ge(1), "dimensions of the space around it, d"] = 20,
    curved: Annotated[bool, "whether it bends, so that a linear code wants 2 k numbers and not k"] = True,
    noise: Annotated[float, Log(1e-3, 0.3), Ge(0), "deviation of the noise on each input"] = 0.01,
) -> Dataset:
    """A smooth k-dimensional surface in d dimensions; the target is the place on it, for an autoencoder the inputs.

    x = z Q + noise · ε  with u even over [-1, 1]ᵏ,  z = (u, sin πu) if curved, else z = u, and Q of orthonormal rows,
    drawn with the sample.  Inputs [features], targets u [dimensions].
    """
    wanted = dimensions * (2 if curved else 1)
    if wanted > features:
        raise HarnessError(
            f"data.features={features} is too few: {'a curved' if curved else 'a flat'} manifold of "
            f"{dimensions} dimensions wants {wanted}"
        )
    rng = np.random.default_rng(generator.initial_seed())
    u = rng.uniform(-1, 1, (n, dimensions))
    z = np.concatenate([u, np.sin(math.pi * u)], axis=1) if curved else u
    q, _ = np.linalg.qr(rng.standard_normal((features, wanted)))
    return from_arrays(z @ q.T + noise * rng.standard_normal((n, features)), u, split, generator, target="real")


@harness.data(
    reference="Tenenbaum, de Silva, Langford, A global geometric framework for nonlinear dimensionality reduction, "
    "Science 2000"
)
def swiss_roll(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    noise: Annotated[float, Uniform(0, 1), Ge(0), "deviation of the noise on each input"] = 0.0,
) -> Dataset:
    """A rolled-up sheet in space; the target is the place on the sheet: the angle t and the height h. Inputs [3].

    x = (t cos t, h, t sin t) + noise · ε  with t even over [1.5 π, 4.5 π] and h over [0, 21].
    """
    from sklearn.datasets import make_swiss_roll

    seed = generator.initial_seed() % 2**32
    x, angle = make_swiss_roll(n, noise=noise, random_state=np.random.RandomState(seed))
    clean, _ = make_swiss_roll(n, noise=0.0, random_state=np.random.RandomState(seed))  # draws the sheet first
    return from_arrays(x, np.stack([angle, clean[:, 1]], axis=1), split, generator, target="real")
