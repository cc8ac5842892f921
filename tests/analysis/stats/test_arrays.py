"""Tests of the checks of arrays."""

import numpy as np
import pytest

from harness.analysis.stats.arrays import finite, share


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, np.nan, np.inf], "scores must be finite: 2 of 3 are nan or infinite"),
        ([[1.0]], r"scores must have the shape \[units\], not \[1, 1\]"),
        (3.0, r"scores must have the shape \[units\], not \[\]"),
        ([], r"scores must not be empty: its shape is \[0\]"),
        ([None], "scores must be finite: 1 of 1 are nan or infinite"),
    ],
)
def test_bad_array_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        finite(values, "scores", ("units",))


def test_integers_and_booleans_become_float64():
    assert finite([True, False], "wins", ("pairs",)).dtype == np.float64
    assert finite(np.array([1, 2], np.int8), "n", ("n",)).tolist() == [1.0, 2.0]


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 95.0, float("nan")])
def test_share_outside_of_0_to_1_is_refused(value):
    with pytest.raises(ValueError, match="coverage must lie between 0 and 1"):
        share(value, "coverage")
