"""Intervals of shares k/n: accuracies, completed runs, pairs won."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from harness.analysis.stats.arrays import Array, share


def wilson(successes: ArrayLike, trials: ArrayLike, coverage: float = 0.95) -> tuple[Array, Array]:
    """Return Wilson's score interval of a share.

    It stays between 0 and 1, and has a width at 0 and n successes, where the normal interval has none. Trials must be
    independent: the samples of one test set are, for one trained model; runs on the same test set are not.

    Args:
        successes: Number of successes k, any shape.
        trials: Number of trials n, at least 1; broadcast against `successes`.
        coverage: Nominal coverage.

    Returns:
        The lower and the upper end, of the broadcast shape.

    Raises:
        ValueError: If a count is not a whole number, `trials` is below 1, or `successes` lies outside of 0..n.

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.

    >>> low, high = wilson(81, 263)
    >>> f"{low:.4f} {high:.4f}"
    '0.2553 0.3662'
    """
    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    if not (np.all(np.isfinite(n) & (k == np.floor(k)) & (n == np.floor(n)))):
        raise ValueError("successes and trials must be whole numbers")
    if np.any(n < 1) or np.any((k < 0) | (k > n)):
        raise ValueError("a share needs 1 trial or more, and between 0 and as many successes")
    z = float(ndtri((1 + share(coverage, "coverage")) / 2))
    center = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * np.sqrt(k * (n - k) / n + z * z / 4)
    return np.where(k == 0, 0.0, center - half), np.where(k == n, 1.0, center + half)
