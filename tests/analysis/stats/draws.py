"""Draws of studies for simulations: differences of two arms, several arms, and scores of trials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Floats]  # (generator, studies, pairs) to differences

TEST_SIZES = {"digits": 360, "wine": 36}
RECORDED = Path(__file__).parent / "recorded.csv"


def generator(seed: int) -> np.random.Generator:
    """Return the random generator of an experiment."""
    return np.random.default_rng([16, seed])


def normal(rng: np.random.Generator, studies: int, n: int) -> Floats:
    """Draw standard normal differences, mean 0."""
    return rng.standard_normal((studies, n))


def skewed(rng: np.random.Generator, studies: int, n: int) -> Floats:
    """Draw log-normal differences, mean 0 and skewness 6.2."""
    return rng.lognormal(0, 1, (studies, n)) - np.exp(0.5)


def exchanged(rng: np.random.Generator, studies: int, n: int) -> Floats:
    """Draw differences of two equal log-normal arms."""
    return rng.lognormal(0, 1, (studies, n)) - rng.lognormal(0, 1, (studies, n))


def tied(rng: np.random.Generator, studies: int, n: int) -> Floats:
    """Draw differences of 36 test samples of which 80% are ties, mean 0."""
    return np.asarray(rng.choice([-1 / 36, 0, 1 / 36], (studies, n), p=[0.1, 0.8, 0.1]))


@cache
def recorded() -> pd.DataFrame:
    """Return the recorded test accuracies, a column for each arm, a row for each seed."""
    counts = pd.read_csv(RECORDED, comment="#", index_col="seed")
    return counts / [TEST_SIZES[name.split()[0]] for name in counts]


def resampled(arm: str, against: str) -> tuple[Draw, float]:
    """Return a draw from the recorded differences of two arms, with replacement, and its mean."""
    d = (recorded()[arm] - recorded()[against]).to_numpy()
    return lambda rng, studies, n: rng.choice(d, (studies, n)), float(d.mean())


def again(rng: np.random.Generator, studies: int, n: int) -> Floats:
    """Draw recorded differences of an arm and the same arm with other seeds, on the same splits."""
    d = resampled("digits relu adam", "digits relu adam again")[0](rng, studies, n)
    return d * rng.choice([-1, 1], (studies, n))  # either could be named first


def arms_drawn(rng: np.random.Generator, studies: int, n: int, deviations: Sequence[float]) -> Floats:
    """Draw equal arms `[studies, arms, n]` with these deviations, and an effect of the seed that they share."""
    noise = rng.standard_normal((studies, len(deviations), n)) * np.array(deviations)[:, None]
    return noise + rng.standard_normal((studies, 1, n))


def trials(rng: np.random.Generator, studies: int, n: int) -> Floats:
    """Draw the scores of random trials: most settings are fair, few are very good."""
    return rng.beta(5, 2, (studies, n))


def median_of_best(n: int) -> Floats:
    """Return the true median of the best of 1 to n trials."""
    return betaincinv(5, 2, 0.5 ** (1 / np.arange(1, n + 1)))


def rounded(scores: Floats) -> Floats:
    """Return scores as accuracies on 20 samples."""
    return np.ceil(20 * scores) / 20
