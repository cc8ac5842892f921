"""Search spaces: annotations of the settings of a component.

A space says where to search for good values. A bound of `annotated_types` says which values are valid:

>>> from typing import Annotated
>>> from annotated_types import Interval
>>> LearningRate = Annotated[float, Log(1e-5, 1e-1), Interval(gt=0)]
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Space:
    """Base class of search spaces. A space maps the unit interval to its values."""

    def at(self, share: float) -> Any:
        """Return the value at a share of the space.

        Args:
            share: A number in [0, 1). If it is uniform, the value is distributed as the space declares.
        """
        raise NotImplementedError

    def share(self, value: Any) -> float:
        """Return a share in [0, 1] of the space at which a value of it lies, the inverse of `at`.

        Args:
            value: A value of the space.
        """
        raise NotImplementedError

    def sample(self, rng: Random) -> Any:
        """Draw a value.

        Args:
            rng: The source of random numbers.
        """
        return self.at(rng.random())


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

    def at(self, share: float) -> float:
        """Return the number at a share of the interval."""
        return min(self.low + share * (self.high - self.low), self.high)

    def share(self, value: float) -> float:
        """Return the share of the interval below a number."""
        return (value - self.low) / (self.high - self.low)


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

    def at(self, share: float) -> float:
        """Return the number at a share of the interval of logarithms."""
        low, high = math.log(self.low), math.log(self.high)
        return min(
            max(math.exp(low + share * (high - low)), self.low), self.high
        )  # exp(log(x)) may miss x by a rounding

    def share(self, value: float) -> float:
        """Return the share of the interval of logarithms below a number."""
        return math.log(value / self.low) / math.log(self.high / self.low)


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

    def at(self, share: float) -> int:
        """Return the integer at a share of the space."""
        if self.log:
            drawn = math.exp(math.log(self.low) + share * math.log((self.high + 1) / self.low))
        else:
            drawn = self.low + share * (self.high + 1 - self.low)
        return min(max(int(drawn), self.low), self.high)

    def share(self, value: int) -> float:
        """Return the share in the middle of those at which an integer lies."""
        middle = value + 0.5
        if self.log:
            return math.log(middle / self.low) / math.log((self.high + 1) / self.low)
        return (middle - self.low) / (self.high + 1 - self.low)


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

    def at(self, share: float) -> Any:
        """Return the value at a share of the list of values."""
        return self.options[min(int(share * len(self.options)), len(self.options) - 1)]

    def share(self, value: Any) -> float:
        """Return the share in the middle of those at which a value lies."""
        return (self.options.index(tuple(value) if isinstance(value, list) else value) + 0.5) / len(self.options)


@dataclass(frozen=True)
class NonFinite:
    """Annotation of a float setting: nan and infinity are valid too."""


SPACES: dict[str, type[Space]] = {space.__name__: space for space in (Uniform, Log, Integers, Choice)}


def parse_space(text: str) -> Space:
    """Return the space that a text describes, in lower case as on the command line.

    Args:
        text: `log(1e-4, 1e-1)`, `uniform(0, 1)`, `integers(1, 8)`, `integers(1, 512, log=True)` or `choice(16, 32)`.

    Raises:
        ValueError: If it describes none; the message says what is expected.

    >>> parse_space("log(1e-4, 1e-1)")
    Log(low=0.0001, high=0.1)
    >>> parse_space("choice(relu, tanh)")
    Choice(options=('relu', 'tanh'))
    """
    known = {name.lower(): space for name, space in SPACES.items()}
    expected = f"must be one of {', '.join(f'{name}(...)' for name in known)}, for example log(1e-4, 1e-1)"
    try:
        call = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{expected}, got {text!r}") from None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in known:
        raise ValueError(f"{expected}, got {text!r}")
    try:
        values = [_literal(argument) for argument in call.args]
        named = {str(keyword.arg): _literal(keyword.value) for keyword in call.keywords}
        space = known[call.func.id](*values, **named)
        share = space.share(space.at(0.5))  # fails if a bound is no number
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no search space: {error}") from None
    if not math.isfinite(share):
        raise ValueError(f"{text!r} is no search space: its bounds must be numbers")
    return space


def _literal(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


def space_text(space: Space) -> str:
    """Return a space as `parse_space` reads it.

    >>> space_text(Log(1e-4, 1e-1)), space_text(Integers(1, 8)), space_text(Choice("a", 2))
    ('log(0.0001, 0.1)', 'integers(1, 8)', "choice('a', 2)")
    """
    values = [repr(value) for value in (space.options if isinstance(space, Choice) else vars(space).values())]
    if isinstance(space, Integers):
        values = [*values[:2], *(["log=True"] if space.log else [])]
    return f"{type(space).__name__.lower()}({', '.join(values)})"
