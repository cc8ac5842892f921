"""Effects of factors on the scores of units: main effects, interactions and slopes, each with a t interval.

Each unit (a seed, a split, or both) gives one number: its own difference, difference of differences, or slope. Their
mean has a t interval, whatever the correlation of a unit's runs. A unit that lacks a run of the contrast is left out of
it, since what remains of the unit would estimate another contrast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.stats.arrays import Array, finite, share
from harness.analysis.stats.paired import Estimate, estimate

ROUNDING = 1e-14  # of the largest score: a contrast below it is 0, since decimals such as .9 - .8 leave a remainder


def main_effect(scores: ArrayLike, factor: int, levels: tuple[int, int], coverage: float = 0.95) -> Estimate:
    """Return the difference between two levels of a factor, averaged over the levels of all other factors.

    Args:
        scores: Scores, shape `[units, levels of factor 0, levels of factor 1, ...]`; nan where a run is missing.
        factor: The factor, from 0.
        levels: `(i, j)` for level i - level j.
        coverage: Coverage of the interval.

    Returns:
        The contrast.

    Raises:
        ValueError: If fewer than 2 units have all runs, a score is infinite, or a factor or level does not exist.

    >>> scores = [[[1, 2], [3, 4]], [[1, 1], [2, 4]], [[0, 3], [2, 3]]]  # 3 units, 2 x 2 levels
    >>> effect = main_effect(scores, 0, (1, 0))
    >>> effect.n, effect.mean
    (3, 1.6666666666666667)
    """
    x = _cells(scores)
    return _over_units(_step(x, factor, levels), x, coverage)


def interaction(
    scores: ArrayLike, factors: tuple[int, int], levels: tuple[int, int, int, int], coverage: float = 0.95
) -> Estimate:
    """Return how a difference between levels of one factor depends on the level of another.

    Args:
        scores: Scores, shape `[units, levels of factor 0, levels of factor 1, ...]`; nan where a run is missing.
        factors: Two factors, from 0.
        levels: `(i, j, k, l)` for level i - level j of the first factor under level k of the second, minus the same
            under level l. Averaged over the levels of all other factors.
        coverage: Coverage of the interval.

    Returns:
        The contrast.

    Raises:
        ValueError: If fewer than 2 units have all runs, a score is infinite, or a factor or level does not exist.

    >>> scores = [[[1, 2], [3, 4]], [[1, 1], [2, 4]], [[0, 3], [2, 3]]]
    >>> interaction(scores, (0, 1), (1, 0, 1, 0)).mean
    0.0
    """
    x = _cells(scores)
    first, second = factors
    if first == second:
        raise ValueError(f"an interaction needs two factors, not factor {first} twice")
    ours, others = levels[:2], levels[2:]
    return _over_units(_step(_step(x, first, ours), second, others), x, coverage)


def slope(scores: ArrayLike, values: ArrayLike, coverage: float = 0.95) -> Estimate:
    """Return the slope of the scores against the values of a numeric setting: a least-squares line for each unit.

    Args:
        scores: Scores, shape `[units, values]`; nan where a run is missing.
        values: Values of the setting, shape `[values]`, at least 2 of them different. For a setting that is swept on a
            logarithmic scale give its logarithm.
        coverage: Coverage of the interval.

    Returns:
        The mean slope: change of the score for each unit of `values`.

    Raises:
        ValueError: If fewer than 2 units have all runs, a score is infinite, or all values are the same.

    >>> slope([[1, 2, 3], [1, 3, 5]], [0.0, 1.0, 2.0]).mean
    1.5
    """
    x, at = _cells(scores), finite(values, "values", ("values",))
    if x.shape[1:] != at.shape:
        raise ValueError(f"scores must have the shape [units, {len(at)}], not {list(x.shape)}")
    if at.min() == at.max():
        raise ValueError("a slope needs 2 different values of the setting")
    centered = at - at.mean()
    return _over_units((x - x[:, :1]) @ (centered / (centered**2).sum()), x, coverage)


def _cells(scores: ArrayLike) -> Array:
    x = np.asarray(scores, np.float64)
    if x.ndim < 2:
        raise ValueError(f"scores must have the shape [units, levels, ...], not {list(x.shape)}")
    if np.isinf(x).any():
        raise ValueError("scores must not be infinite; nan marks a missing run")
    return x


def _step(x: Array, factor: int, levels: tuple[int, int]) -> Array:
    """Return the difference between two levels of a factor, whose axis stays with length 1."""
    if not 0 <= factor < x.ndim - 1:
        raise ValueError(f"there is no factor {factor}: scores have {x.ndim - 1}")
    if absent := [level for level in levels if not 0 <= level < x.shape[factor + 1]]:
        raise ValueError(f"factor {factor} has no level {absent[0]}: its levels are 0 to {x.shape[factor + 1] - 1}")
    level, against = levels
    return np.take(x, [level], factor + 1) - np.take(x, [against], factor + 1)


def _over_units(contrasts: Array, scores: Array, coverage: float) -> Estimate:
    """Average contrasts `[units, ...]` of scores over all axes but the first, then over the units that have all."""
    each = contrasts.mean(tuple(range(1, contrasts.ndim)))
    each = each[~np.isnan(each)]
    if len(each) < 2:
        raise ValueError(f"an interval needs 2 units that have all runs of the contrast, not {len(each)}")
    each[np.abs(each) <= ROUNDING * np.nanmax(np.abs(scores))] = 0.0
    return estimate(each, 1 - share(coverage, "coverage"))
