"""Search spaces: annotations of the settings of a component.

A space says where to search for good values. A bound of `annotated_types` says which values are valid:

>>> from typing import Annotated
>>> from annotated_types import Interval
>>> LearningRate = Annotated[float, Log(1e-5, 1e-1), Interval(gt=0)]
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Space:
    """Base class of search spaces."""

    def sample(self, rng: Random) -> Any:
        """Draw a value.

        Args:
            rng: The source of random numbers.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Uniform(Space):
    """Real numbers, uniform in [low, high].

    Args:
        low: The least value.
        high: The largest value.

    Raises:
        ValueError: Unless both are finite and low < high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"{type(self).__name__} needs finite low < high, got {self.low}, {self.high}")

    def sample(self, rng: Random) -> float:
        """Draw a number."""
        return rng.uniform(self.low, self.high)


@dataclass(frozen=True)
class Log(Uniform):
    """Real numbers, uniform in their logarithm in [low, high].

    Args:
        low: The least value, above 0.
        high: The largest value.

    Raises:
        ValueError: Unless 0 < low < high and both are finite.

    >>> 1e-5 <= Log(1e-5, 1e-1).sample(Random(0)) <= 1e-1
    True
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise ValueError(f"Log needs low > 0, got {self.low}")

    def sample(self, rng: Random) -> float:
        """Draw a number."""
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)  # exp(log(x)) may miss x by a rounding


@dataclass(frozen=True)
class Integers(Space):
    """Integers, uniform in low .. high.

    Args:
        low: The least value.
        high: The largest value.
        log: True for a uniform distribution of the logarithm; low must then be at least 1.

    Raises:
        ValueError: Unless low < high.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        if self.low >= self.high or (self.log and self.low < 1):
            raise ValueError(f"Integers needs low < high (and low >= 1 with log), got {self.low}, {self.high}")

    def sample(self, rng: Random) -> int:
        """Draw an integer."""
        if not self.log:
            return rng.randint(self.low, self.high)
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high + 1)))
        return min(max(int(drawn), self.low), self.high)


@dataclass(frozen=True, init=False)
class Choice(Space):
    """One of several values.

    Args:
        *options: The values.

    Raises:
        ValueError: Without a value.

    >>> Choice("a", "b").options
    ('a', 'b')
    """

    options: tuple[Any, ...]

    def __init__(self, *options: Any) -> None:
        if not options:
            raise ValueError("Choice needs at least one option")
        # lists are tuples here, so that a space read from JSON equals, and hashes as, the one that was written
        object.__setattr__(self, "options", tuple(tuple(o) if isinstance(o, list) else o for o in options))

    def sample(self, rng: Random) -> Any:
        """Draw one of the values."""
        return rng.choice(self.options)


@dataclass(frozen=True)
class NonFinite:
    """Annotation of a float setting: nan and infinity are valid too."""


SPACES: dict[str, type[Space]] = {space.__name__: space for space in (Uniform, Log, Integers, Choice)}
