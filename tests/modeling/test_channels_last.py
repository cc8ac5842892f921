"""Pooling in channels-last format has the bits of torch's own pooling."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from harness.modeling.channels_last import POOLS
from harness.modeling.profile import probe

SIZES = st.integers(1, 3)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Any, dict[str, Any]]:
    """A pooling function of torch, and its settings."""
    function = draw(st.sampled_from(list(POOLS)))
    kernel = draw(st.tuples(SIZES, SIZES))
    settings: dict[str, Any] = {
        "kernel_size": kernel,
        "stride": draw(st.none() | st.tuples(SIZES, SIZES)),
        "padding": tuple(draw(st.integers(0, size // 2)) for size in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    if function is F.avg_pool2d:
        settings["count_include_pad"] = draw(st.booleans())
        settings["divisor_override"] = draw(st.none() | SIZES)
    else:
        settings["dilation"] = draw(st.integers(1, 2))
    return function, settings


def images(shape: tuple[int, ...], seed: int, levels: int) -> Tensor:
    """Random images; with few levels, a window has several largest values."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=draw)
    return x if not levels else (x * levels).round()


def value_and_gradient(function: Callable[[Tensor], Tensor], x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = function(x)
    (gradient,) = torch.autograd.grad(y, x, torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)))
    return y.detach(), gradient


@given(
    pools(),
    st.integers(1, 4),
    st.sampled_from([1, 3, 8, 17]),
    st.integers(7, 12),
    st.integers(0, 99),
    st.integers(0, 2),
)
def test_values_and_gradients_have_the_bits_of_torchs_pooling(
    pool: tuple[Any, dict[str, Any]], n: int, channels: int, side: int, seed: int, levels: int
) -> None:
    function, settings = pool
    x = images((n, channels, side, side + 1), seed, levels)
    expected = value_and_gradient(functools.partial(function, **settings), x, seed)
    found = value_and_gradient(functools.partial(POOLS[function], **settings), x, seed)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(t.is_contiguous() for t in found)


def test_indices_of_maxima_are_those_of_torch() -> None:
    x = images((2, 3, 8, 8), 0, 1)
    expected = F.max_pool2d(x, 2, return_indices=True)
    found = POOLS[F.max_pool2d](x, 2, return_indices=True)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("function", POOLS)
def test_pooling_can_be_differentiated_twice_and_transformed(function: Any) -> None:
    x = images((2, 3, 4, 4), 0, 0).double().requires_grad_()
    pool = functools.partial(POOLS[function], kernel_size=2)
    assert torch.autograd.gradgradcheck(pool, x)
    rows = torch.func.vmap(pool)(x.detach()[:, None])
    assert torch.equal(rows[:, 0], pool(x.detach()))


@pytest.mark.parametrize(
    ("pool", "pools"), [(nn.MaxPool2d(2), True), (nn.AvgPool2d(2), True), (nn.LPPool2d(2, 2), False)], ids=str
)
def test_profile_recognises_a_model_that_pools(pool: nn.Module, pools: bool) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), pool, nn.Flatten(), nn.Linear(36, 3))
    assert probe(model, torch.randn(2, 1, 8, 8)).pools is pools
