"""Check the arrays that statistics are computed from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def finite(values: ArrayLike, name: str, shape: Sequence[str]) -> Array:
    """Convert numbers to float64 and refuse what has another shape, is empty, or is not finite.

    Args:
        values: The numbers.
        name: Their name in messages.
        shape: The name of each axis, for example `("units", "arms")`.

    Returns:
        Array with as many axes as `shape` has names.

    Raises:
        ValueError: If the number of axes differs, an axis is empty, or a number is nan or infinite.

    >>> finite([1, 2], "scores", ("units",))
    array([1., 2.])
    >>> finite([1, np.nan], "scores", ("units",))
    Traceback (most recent call last):
    ValueError: scores must be finite: 1 of 2 are nan or infinite
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != len(shape):
        raise ValueError(f"{name} must have the shape [{', '.join(shape)}], not {list(array.shape)}")
    if not array.size:
        raise ValueError(f"{name} must not be empty: its shape is {list(array.shape)}")
    if wrong := int((~np.isfinite(array)).sum()):
        raise ValueError(f"{name} must be finite: {wrong} of {array.size} are nan or infinite")
    return array


def share(value: float, name: str) -> float:
    """Return a share between 0 and 1, both excluded.

    Raises:
        ValueError: If it lies outside.

    >>> share(0.95, "coverage")
    0.95
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, both excluded, not {value}")
    return value
