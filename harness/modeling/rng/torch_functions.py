"""Redirect torch's random functions to the run's noise, so that any module with torch's nn.Dropout works."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from harness._compat.torch import UNLISTED_SAMPLERS
from harness.modeling.rng.noise import Noise

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
    """Drop whole channels; an input with less than `batched` dimensions is one sample without a batch axis."""

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
    return x.copy_(-torch.log1p(-u).clamp_max(-(2.0**-25)) / lambd)  # never 0, since callers take its logarithm


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


# {function of torch: function that draws from the noise instead}
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
    torch.dropout_,
    *UNLISTED_SAMPLERS,
    *(getattr(Tensor, name) for name in ("multinomial", "random_", "cauchy_", "log_normal_", "geometric_")),
}


class Redirect(TorchFunctionMode):
    """Context in which torch's random functions draw from the noise, and other functions of torch are replaced.

    Args:
        noise: The noise.
        instead: The replacements of other functions of torch.
        stack: The functions are called for a stack: a draw that is not in the table is left to torch, which refuses it.

    Attributes:
        drawn: Whether any function drew.
        replaced: Whether any replacement was called.
    """

    def __init__(
        self, noise: Noise, instead: Mapping[Any, Callable[..., Any]] | None = None, stack: bool = False
    ) -> None:
        super().__init__()
        self.noise, self.instead, self.stack = noise, instead or {}, stack
        self.drawn = self.replaced = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in OPENED:
            with self:
                return OPENED[func](*args, **kwargs)
        if func in self.instead:
            self.replaced = True
            return self.instead[func](*args, **kwargs)
        if func in SEEDED and not self.stack:
            return self._seeded(func, args, kwargs)
        draw = TABLE.get(func)
        if draw is None:
            return func(*args, **kwargs)
        place = self.noise.place
        result = draw(self.noise, *args, **kwargs)
        self.drawn = self.drawn or self.noise.place != place
        return result

    def _seeded(self, func: Any, args: Any, kwargs: Any) -> Any:
        key, rows, place = self.noise.key, self.noise.rows, self.noise.place
        seed = int(self.noise.integers(0, 1 << 52, ())) + (rows.start << 8 if rows else 0)
        with torch.random.fork_rng(devices=[key.device] if key.is_cuda else []):
            generator = torch.cuda.default_generators[key.device.index or 0] if key.is_cuda else torch.default_generator
            generator.manual_seed(seed)
            before = generator.get_state()
            result = func(*args, **kwargs)
            if torch.equal(before, generator.get_state()):
                self.noise.place = place  # nothing was drawn: the next draw is the same as in a stack
            else:
                self.drawn = True
        return result
