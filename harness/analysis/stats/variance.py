"""Variance components: how much of the spread of results is due to units, to arms, and to neither.

A unit is a seed, a split, or both. Components are estimated by equating mean squares with their expectations, all
effects random. A negative estimate is 0.

Reference:
    Searle, Casella and McCulloch, Variance components, 1992, chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping

from numpy.typing import ArrayLike

from harness.analysis.stats.arrays import Array, finite


def variance_components(values: ArrayLike) -> dict[str, float]:
    """Return the variances of units and arms on one data set, with one run for each unit and arm.

    Args:
        values: Scores, shape `[units, arms]`, at least 2 of each.

    Returns:
        Variances: "unit" is shared by all arms of a unit, "arm" by all units of an arm, "rest" is the interaction of
        both and the noise.

    Raises:
        ValueError: If a score is missing, or there is one unit or arm.

    >>> variance_components([[1, 2, 3], [3, 4, 5], [5, 6, 7]])
    {'unit': 4.0, 'arm': 1.0, 'rest': 0.0}
    """
    x = finite(values, "values", ("units", "arms"))
    _at_least_two(x, "units", "arms")
    n, k = x.shape
    mean = x.mean()
    unit, arm = x.mean(1, keepdims=True), x.mean(0, keepdims=True)
    units = k * _squares(unit - mean) / (n - 1)
    arms = n * _squares(arm - mean) / (k - 1)
    rest = _squares(x - unit - arm + mean) / ((n - 1) * (k - 1))
    return {"unit": max(0.0, units - rest) / k, "arm": max(0.0, arms - rest) / n, "rest": rest}


def variance_components_over_data(values: ArrayLike) -> dict[str, float]:
    """Return the variances of data sets, units and arms, with one run for each data set, unit and arm.

    Units are nested in data sets: seed 0 on one data set has nothing in common with seed 0 on another. Scores of
    different data sets must share a scale: normalise them first.

    Args:
        values: Scores, shape `[data sets, units, arms]`, at least 2 of each.

    Returns:
        Variances: "data" is shared by all runs on a data set, "arm" by all runs of an arm, "arm by data" by all runs of
        an arm on a data set, "unit" by all arms of a unit on a data set; "rest" is none of these.

    Raises:
        ValueError: If a score is missing, or there is one data set, unit or arm.

    >>> variance_components_over_data([[[1, 2], [2, 3]], [[1, 2], [2, 3]]])
    {'data': 0.0, 'arm': 0.5, 'arm by data': 0.0, 'unit': 0.5, 'rest': 0.0}
    """
    x = finite(values, "values", ("data sets", "units", "arms"))
    _at_least_two(x, "data sets", "units", "arms")
    d, n, k = x.shape
    mean = x.mean()
    data, arm = x.mean((1, 2), keepdims=True), x.mean((0, 1), keepdims=True)
    cell, unit = x.mean(1, keepdims=True), x.mean(2, keepdims=True)
    sets = n * k * _squares(data - mean) / (d - 1)
    arms = d * n * _squares(arm - mean) / (k - 1)
    both = n * _squares(cell - data - arm + mean) / ((d - 1) * (k - 1))
    units = k * _squares(unit - data) / (d * (n - 1))
    rest = _squares(x - unit - cell + data) / (d * (n - 1) * (k - 1))
    return {
        "data": max(0.0, sets - units - both + rest) / (n * k),
        "arm": max(0.0, arms - both) / (d * n),
        "arm by data": max(0.0, both - rest) / n,
        "unit": max(0.0, units - rest) / k,
        "rest": rest,
    }


def shares(components: Mapping[str, float]) -> dict[str, float]:
    """Return components as shares of their sum, or nothing if all are 0.

    >>> shares({"unit": 3.0, "arm": 0.0, "rest": 1.0})
    {'unit': 0.75, 'arm': 0.0, 'rest': 0.25}
    """
    total = sum(components.values())
    return {name: value / total for name, value in components.items()} if total else {}


def _squares(values: Array) -> float:
    return float((values**2).sum())


def _at_least_two(values: Array, *axes: str) -> None:
    for axis, size in zip(axes, values.shape, strict=True):
        if size < 2:
            raise ValueError(f"variance components need at least 2 {axis}, not {size}")
