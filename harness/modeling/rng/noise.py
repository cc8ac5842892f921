"""The noise of a run as a pure function of (seed, step, place, index).

It depends neither on the process nor on the runs that train beside.

SplitMix64 in counter mode (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), in int64
tensor arithmetic, which wraps the same on every device, with and without vmap. The key comes from the run's seed and
the step, the counter from the place (the number of the draw in the step) and the element's index in the global batch.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


_GOLD, _A, _B = (_signed(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_STEP = _signed(0xD1342543DE82EF95)
_PLACE_BITS = 40  # indices of one draw stay below 2^40
_BITS = {torch.float16: 11, torch.bfloat16: 8}  # random bits that the short floats hold without rounding up to 1


def mix(x: Tensor) -> Tensor:
    """Apply SplitMix64's finaliser to int64, on which >> is arithmetic: hence the masks."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _A
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _B
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def keys(seeds: Tensor, step: int | Tensor) -> Tensor:
    """Return the keys of a step, one for each run of a stack.

    Args:
        seeds: The seeds of the runs, int64 `[K]`.
        step: The index of the optimizer step, from 0; int64 `[steps, 1]` for several steps at once.

    Returns:
        Keys for `Noise`, int64 `[K]` or `[steps, K]`.
    """
    return mix(mix(seeds * _GOLD + 1) + (_signed((step + 1) * _STEP) if isinstance(step, int) else (step + 1) * _STEP))


@dataclass(frozen=True)
class GlobalBatch:
    """The samples of the global batch that this process holds."""

    start: int
    count: int
    total: int


@functools.lru_cache(64)
def _cached_counter(first: int, count: int, device: torch.device) -> Tensor:
    return torch.arange(first, first + count, device=device, dtype=torch.int64) * _GOLD


def _counter(first: int, count: int, device: torch.device) -> Tensor:
    small = count <= 1 << 18  # do not cache the counter of a large draw, which takes memory
    return (_cached_counter if small else _cached_counter.__wrapped__)(first, count, device)


class Noise:
    """Random numbers of one step of one run, as a function of seed, step and place.

    `place` counts the draws of the step. If the first dimension of a draw is a multiple of the number of samples in
    this process, the draw belongs to the samples: it equals the matching rows of the draw for the whole batch. Other
    draws are the same in all processes.

    Args:
        key: The key of the step, a scalar of `keys`, or a function that returns it.
        rows: The part of the batch that this process holds; None for the whole batch.
        place: The number of draws before the first one.
        count_steps: Returns the number of optimizer steps before this one.
    """

    def __init__(
        self,
        key: Tensor | Callable[[], Tensor],
        rows: GlobalBatch | None = None,
        place: int = 0,
        count_steps: Callable[[], int] = lambda: 0,
    ) -> None:
        self._key, self.rows, self.place, self._count_steps = key, rows, place, count_steps

    @property
    def step(self) -> int:
        """The number of optimizer steps before this one, for noise on gradients."""
        return self._count_steps()

    @property
    def key(self) -> Tensor:
        """The key of this run and step; computed at the first draw."""
        if not isinstance(self._key, Tensor):
            self._key = self._key()
        return self._key

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw from the uniform distribution on [0, 1).

        Args:
            shape: The shape of the result.
            dtype: Its type. Values have 24 random bits (float64: 53, float16: 11, bfloat16: 8).
        """
        first, count = self._window(shape)
        self.place += 1
        return self._uniform(first, count, dtype).reshape(tuple(shape)).to(dtype)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw from the standard normal distribution (Box and Muller 1958).

        Args:
            shape: The shape of the result.
            dtype: Its type.
        """
        first, count = self._window(shape)
        self.place += 1
        pair, skip = divmod(first, 2)
        pairs = (first + count + 1) // 2 - pair
        work = torch.float64 if dtype == torch.float64 else torch.float32
        u = self._uniform(2 * pair, 2 * pairs, work).reshape(pairs, 2)
        radius, angle = torch.sqrt(-2 * torch.log1p(-u[:, 0])), u[:, 1] * (2 * math.pi)
        both = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)
        return both.reshape(-1)[skip : skip + count].reshape(tuple(shape)).to(dtype)

    def bernoulli(self, shape: Sequence[int], p: float | Tensor) -> Tensor:
        """Draw booleans that are True with probability p.

        Args:
            shape: The shape of the result.
            p: The probability in [0, 1], rounded to a multiple of 2^-16.
        """
        first, count = self._window(shape)
        self.place += 1
        word, skip = divmod(first, 4)
        words = (first + count + 3) // 4 - word
        lanes = self._bits(word, words).view(torch.int16)[skip : skip + count]
        if isinstance(p, Tensor):
            below = lanes < torch.round(p.float() * 65536) - 32768
        else:
            level = round(p * 65536) - 32769  # for <=, since the bound of < is out of the range of int16 for p = 1
            below = lanes <= level if level >= -32768 else torch.zeros_like(lanes, dtype=torch.bool)
        return below.reshape(tuple(shape))

    def integers(self, low: int, high: int, shape: Sequence[int]) -> Tensor:
        """Draw integers uniformly from low .. high - 1.

        Args:
            low: The least value.
            high: The largest value plus one.
            shape: The shape of the result, an int64 tensor.
        """
        return low + (self.uniform(shape, torch.float64) * (high - low)).to(torch.int64)

    def permutation(self, n: int) -> Tensor:
        """Return a random order of 0 .. n - 1, the same in every process.

        Args:
            n: The number of elements.
        """
        self.place += 1
        return torch.argsort(self._uniform(0, n, torch.float64))

    def dropout(self, x: Tensor, p: float | Tensor = 0.5, shape: Sequence[int] | None = None) -> Tensor:
        """Zero elements with probability p and divide the others by 1 - p.

        Args:
            x: The input, of any shape.
            p: The probability in [0, 1].
            shape: The shape of the mask, which is broadcast to x; default: the shape of x.
        """
        if not isinstance(p, Tensor) and p >= 1:
            return x * 0
        kept = ~self.bernoulli(shape or x.shape, p)
        share = (1 - p).clamp_min(2.0**-17) if isinstance(p, Tensor) else 1 - p  # avoids 0 / 0 for p = 1
        return x * kept.to(x.dtype) / share

    def _window(self, shape: Sequence[int]) -> tuple[int, int]:
        count = math.prod(shape)
        rows = self.rows
        if rows is None or not shape or not rows.count or shape[0] % rows.count:
            return 0, count
        return rows.start * (count // rows.count), count

    def _bits(self, first: int, count: int) -> Tensor:
        place = _signed((self.place << _PLACE_BITS) * _GOLD)
        return mix(_counter(first, count, self.key.device) + (self.key + place))

    def _uniform(self, first: int, count: int, dtype: torch.dtype) -> Tensor:
        if dtype == torch.float64:
            return ((self._bits(first, count) >> 11) & ((1 << 53) - 1)).to(dtype) * 2.0**-53
        word, skip = divmod(first, 2)
        words = (first + count + 1) // 2 - word
        bits = self._bits(word, words).view(torch.int32)[skip : skip + count]
        n = _BITS.get(dtype, 24)
        return ((bits >> (32 - n)) & ((1 << n) - 1)).to(torch.float32) * 2.0**-n
