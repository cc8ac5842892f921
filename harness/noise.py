"""All noise of a run as a pure function of (seed, step, place, index): never of the process, or of who trains beside.

SplitMix64 in counter mode (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), in int64
tensor arithmetic, which wraps the same on every device, alone and under vmap. The key comes from the run's seed and
the step, the counter from the place (which draw of the step this is) and the element's index in the global batch.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


_GOLD, _A, _B = (_signed(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_STEP = _signed(0xD1342543DE82EF95)
_PLACE_BITS = 40  # indices of one draw stay below 2^40
_BITS = {torch.float16: 11, torch.bfloat16: 8}  # what the short floats hold below 1 without rounding up to it


def mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64; >> is arithmetic there, hence the masks."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _A
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _B
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def keys(seeds: Tensor, step: int) -> Tensor:
    """One key a member for this step: int64 [K] from int64 seeds [K]."""
    return mix(mix(seeds * _GOLD + 1) + _signed((step + 1) * _STEP))


@dataclass(frozen=True)
class Rows:
    """Which samples of the global batch this process holds."""

    start: int
    count: int
    total: int


@functools.lru_cache(64)
def _kept_counter(first: int, count: int, device: torch.device) -> Tensor:
    return torch.arange(first, first + count, device=device, dtype=torch.int64) * _GOLD


def _counter(first: int, count: int, device: torch.device) -> Tensor:
    small = count <= 1 << 18  # a kept counter of a large draw would hold memory for nothing
    return (_kept_counter if small else _kept_counter.__wrapped__)(first, count, device)


class Noise:
    """The randomness of one member's step. `place` counts its draws in the order of the program.

    A draw whose first dimension is a multiple of this process's samples belongs to the samples, and is then the
    matching rows of the draw that one process with the whole batch would make; any other draw is common to all.
    """

    def __init__(self, key: Tensor | Callable[[], Tensor], rows: Rows | None = None) -> None:
        self._key, self.rows, self.place = key, rows, 0

    @property
    def key(self) -> Tensor:
        """This member's key of this step; made at the first draw, since most steps draw nothing."""
        if not isinstance(self._key, Tensor):
            self._key = self._key()
        return self._key

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform on [0, 1), with 24 random bits (53 in float64, 11 and 8 in the short floats)."""
        first, count = self._window(shape)
        self.place += 1
        return self._uniform(first, count, dtype).reshape(tuple(shape)).to(dtype)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal (Box and Muller 1958), elements 2j and 2j + 1 from one pair of uniforms."""
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
        """True with probability p, to 2^-16: as a boolean tensor. Four values a random word."""
        first, count = self._window(shape)
        self.place += 1
        word, skip = divmod(first, 4)
        words = (first + count + 3) // 4 - word
        lanes = self._bits(word, words).view(torch.int16)[skip : skip + count]
        if isinstance(p, Tensor):
            below = lanes < torch.round(p.float() * 65536) - 32768
        else:
            level = round(p * 65536) - 32769  # not <, whose bound for p = 1 is beyond int16
            below = lanes <= level if level >= -32768 else torch.zeros_like(lanes, dtype=torch.bool)
        return below.reshape(tuple(shape))

    def integers(self, low: int, high: int, shape: Sequence[int]) -> Tensor:
        """Whole numbers, evenly over low .. high - 1, as int64."""
        return low + (self.uniform(shape, torch.float64) * (high - low)).to(torch.int64)

    def permutation(self, n: int) -> Tensor:
        """A random order of 0 .. n - 1, the same in every process."""
        self.place += 1
        return torch.argsort(self._uniform(0, n, torch.float64))

    def dropout(self, x: Tensor, p: float | Tensor = 0.5, shape: Sequence[int] | None = None) -> Tensor:
        """x with elements zeroed with probability p and the others divided by 1 - p."""
        if not isinstance(p, Tensor) and p >= 1:
            return x * 0
        kept = ~self.bernoulli(shape or x.shape, p)
        share = (1 - p).clamp_min(2.0**-17) if isinstance(p, Tensor) else 1 - p  # of p = 1, nothing: never 0 / 0
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


Draw = Callable[..., Tensor]


def _size(size: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    if named is not None:
        return tuple(named)
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else tuple(size)


def _dropout(n: Noise, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    if not training:
        return x
    y = n.dropout(x, p)
    return x.copy_(y) if inplace else y


def _dropout_channels(batched: int) -> Draw:
    """Drops whole channels; an input of less than `batched` dimensions is one sample without a batch."""

    def draw(n: Noise, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training:
            return x
        lead = 2 if batched == 0 or x.ndim >= batched else 1
        y = n.dropout(x, p, (*x.shape[:lead], *[1] * (x.ndim - lead)))
        return x.copy_(y) if inplace else y

    return draw


def _rand(n: Noise, *size: Any, dtype: torch.dtype | None = None, **rest: Any) -> Tensor:
    return n.uniform(_size(size, rest.get("size")), dtype or torch.get_default_dtype())


def _randn(n: Noise, *size: Any, dtype: torch.dtype | None = None, **rest: Any) -> Tensor:
    return n.normal(_size(size, rest.get("size")), dtype or torch.get_default_dtype())


def _normal(n: Noise, mean: Any, std: Any = 1.0, size: Any = None, **rest: Any) -> Tensor:
    like = next((t for t in (mean, std) if isinstance(t, Tensor)), None)
    if like is None:
        return mean + std * n.normal(_size((), size), rest.get("dtype") or torch.get_default_dtype())
    return mean + std * n.normal(
        torch.broadcast_shapes(*(t.shape for t in (mean, std) if isinstance(t, Tensor))), like.dtype
    )


def _bernoulli(n: Noise, x: Tensor, p: float | None = None, **rest: Any) -> Tensor:
    if p is not None:
        return n.bernoulli(x.shape, p).to(x.dtype)
    return (n.uniform(x.shape, torch.float64 if x.dtype == torch.float64 else torch.float32) < x).to(x.dtype)


def _randint(n: Noise, *args: Any, **rest: Any) -> Tensor:
    *bounds, size = args if "size" not in rest else (*args, rest["size"])
    low, high = (rest.get("low", 0), *bounds)[-2:] if "high" not in rest else ((*bounds, 0)[0], rest["high"])
    return n.integers(low, high, tuple(size)).to(rest.get("dtype") or torch.int64)


def _exponential(n: Noise, x: Tensor, lambd: float = 1.0, **rest: Any) -> Tensor:
    u = n.uniform(x.shape, torch.float64 if x.dtype == torch.float64 else torch.float32)
    return x.copy_(-torch.log1p(-u).clamp_max(-(2.0**-25)) / lambd)  # never 0, whose logarithm is asked for


def _attention(
    n: Noise,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if not dropout_p:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return n.dropout(scores.softmax(-1), dropout_p) @ value


# What a stranger's module calls, and where it is drawn instead: its own nn.Dropout just works.
TABLE: dict[Any, Draw] = {
    F.dropout: _dropout,
    F.dropout1d: _dropout_channels(3),
    F.dropout2d: _dropout_channels(0),  # torch takes three dimensions for a batch here
    F.dropout3d: _dropout_channels(5),
    F.scaled_dot_product_attention: _attention,
    torch.dropout: lambda n, input, p, train: n.dropout(input, p) if train else input,
    torch.rand: _rand,
    torch.randn: _randn,
    torch.rand_like: lambda n, x, dtype=None, **rest: n.uniform(x.shape, dtype or x.dtype),
    torch.randn_like: lambda n, x, dtype=None, **rest: n.normal(x.shape, dtype or x.dtype),
    torch.randperm: lambda n, count, **rest: n.permutation(count),
    torch.bernoulli: _bernoulli,
    torch.randint: _randint,
    Tensor.bernoulli: _bernoulli,
    Tensor.bernoulli_: lambda n, x, p=0.5, **rest: x.copy_(n.bernoulli(x.shape, p)),
    torch.normal: _normal,
    Tensor.exponential_: _exponential,
    Tensor.normal_: lambda n, x, mean=0.0, std=1.0, **rest: x.copy_(mean + std * n.normal(x.shape, x.dtype)),
    Tensor.uniform_: lambda n, x, a=0.0, b=1.0, **rest: x.copy_(a + (b - a) * n.uniform(x.shape, x.dtype)),
}


def _opened(function: Any) -> Any:
    """A function of torch.nn.functional that does not hand itself to the mode, so that its parts can be."""
    names = vars(F) | {"has_torch_function": _never, "has_torch_function_unary": _never}
    opened = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__)
    opened.__kwdefaults__ = function.__kwdefaults__
    return opened


def _never(*_: Any) -> bool:
    return False


# Made of functions of the table: a mode is off inside the function that it was handed, hence opened copies.
OPENED = {f: _opened(f) for f in (F.multi_head_attention_forward, F.gumbel_softmax)}

# Drawn by torch inside one kernel, or too seldom asked for to be in the table: torch's generator, set by the noise.
SEEDED = {
    F.alpha_dropout,
    F.feature_alpha_dropout,
    F.rrelu,
    F.fractional_max_pool2d,
    F.fractional_max_pool3d,
    *(getattr(torch, name) for name in ("lstm", "gru", "rnn_tanh", "rnn_relu", "rrelu", "alpha_dropout")),
    *(getattr(torch, name) for name in ("multinomial", "poisson", "binomial", "randint_like", "feature_dropout")),
    *(getattr(torch, name) for name in ("dropout_", "_standard_gamma", "_sample_dirichlet")),
    *(getattr(Tensor, name) for name in ("multinomial", "random_", "cauchy_", "log_normal_", "geometric_")),
}


class Redirect(TorchFunctionMode):
    """Inside, torch's own random functions draw from `noise`. `drawn` tells whether any did."""

    def __init__(self, noise: Noise) -> None:
        super().__init__()
        self.noise, self.drawn = noise, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        if func in SEEDED:
            return self._seeded(func, args, kwargs)
        draw = TABLE.get(func)
        if draw is None:
            return func(*args, **kwargs)
        place = self.noise.place
        result = draw(self.noise, *args, **kwargs)
        self.drawn = self.drawn or self.noise.place != place
        return result

    def _seeded(self, func: Any, args: Any, kwargs: Any) -> Any:
        key, rows = self.noise.key, self.noise.rows
        seed = int(self.noise.integers(0, 1 << 52, ())) + (rows.start << 8 if rows else 0)
        with torch.random.fork_rng(devices=[key.device] if key.is_cuda else []):
            generator = torch.cuda.default_generators[key.device.index or 0] if key.is_cuda else torch.default_generator
            generator.manual_seed(seed)
            before = generator.get_state()
            result = func(*args, **kwargs)
            self.drawn = self.drawn or not torch.equal(before, generator.get_state())
        return result
