"""Comparison over several data sets, each with the same weight, and over new splits of one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from harness.analysis.stats.paired import ALPHA, Estimate, estimate, student

MIN_DATA_SETS = 4


def over_data_sets(means: ArrayLike, alpha: float = ALPHA) -> Estimate:
    """Estimate a difference over data sets from the mean difference on each.

    Data sets are the sample: runs of one data set are no replacement for further data sets. Pooling all runs instead
    calls .24 to .54 of equal pairs different.

    Args:
        means: Mean difference on each data set `[D]`, D >= 4.
        alpha: Error rate.

    Raises:
        ValueError: If there are fewer than four data sets.
    """
    values = np.asarray(means, np.float64)
    if values.size < MIN_DATA_SETS:
        raise ValueError(f"a statement over data sets needs at least {MIN_DATA_SETS}, got {values.size}")
    return estimate(values, alpha)


def over_new_data(d: ArrayLike, train: int, test: int, alpha: float = ALPHA, resolution: float = 0.0) -> Estimate:
    """Estimate a difference on new data of the same kind from random splits of one data set.

    Splits share training samples, so that differences of splits are correlated. The variance of their mean is taken
    as (1/n + test/train) s^2.

    Args:
        d: Difference of each split `[n]`.
        train: Training samples of a split.
        test: Test samples of a split.
        alpha: Error rate.
        resolution: As in `estimate`.

    Reference:
        Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003.
    """
    e = estimate(d, alpha, resolution)
    return student(e.n, e.mean, e.sd, e.sd * math.sqrt(1 / e.n + test / train), alpha)
