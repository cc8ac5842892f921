"""Tests of operations whose bits depend on the other members of a stack, and of what prevents it."""

from __future__ import annotations

import itertools

import pytest
import torch

from harness.training.vectorized.bitwise import _ROUNDED, VECTOR, BitwiseProducts, aligned_bmm

SIZES = (1, 7, 10, 13, 33, 610)
GIVEN = {  # calls of operations with more than one tensor
    **{name: lambda f, x: f(x, 1.3 - x) for name in ("add", "sub", "mul", "div", "maximum", "minimum")},
    "tanh_backward": lambda f, x: f(x, torch.tanh(x)),
    "threshold_backward": lambda f, x: f(x, x, 0),
    "log": lambda f, x: f(x.abs() + 0.1),
    "sqrt": lambda f, x: f(x.abs()),
}
UNARY = ("abs", "exp", "log", "neg", "relu", "round", "sign", "sqrt", "tanh")


@pytest.mark.parametrize("name", sorted({*UNARY, *GIVEN}))
def test_elementwise_operation_is_independent_of_position(name: str) -> None:
    """The last elements of a tensor, which fill no vector, are computed as within a longer one."""
    assert name in _ROUNDED
    operation = getattr(torch.ops.aten, name)
    call = GIVEN.get(name, lambda f, x: f(x))
    draw = torch.Generator().manual_seed(0)
    for n, _ in itertools.product(SIZES, range(20)):
        x = torch.randn(n, generator=draw)
        longer = torch.cat([x, torch.randn(2 * VECTOR, generator=draw)])
        assert torch.equal(call(operation, x), call(operation, longer)[:n])


@pytest.mark.parametrize("shape", [(61, 33, 10), (5, 64, 3), (64, 30, 7), (1, 7, 1), (13, 20, 32)])
@pytest.mark.parametrize("turned", [False, True])
def test_products_are_independent_of_other_members(shape: tuple[int, int, int], turned: bool) -> None:
    n, m, o = shape
    draw = torch.Generator().manual_seed(0)
    a, b = torch.randn(9, n, m, generator=draw), torch.randn(9, m, o, generator=draw)
    if turned:
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    order = torch.randperm(9, generator=draw)
    with BitwiseProducts(9) as exact:
        whole = torch.bmm(a, b)
        assert torch.equal(torch.bmm(a[order], b[order]), whole[order])
        assert torch.equal(torch.bmm(a[3:5], b[3:5]), whole[3:5])
        bias = torch.randn(9, 1, o, generator=draw)
        added = torch.baddbmm(bias, a, b)
        assert torch.equal(torch.baddbmm(bias[3:5], a[3:5], b[3:5]), added[3:5])
    assert exact.realigned
    torch.testing.assert_close(whole, torch.bmm(a, b))
    torch.testing.assert_close(added, torch.baddbmm(bias, a, b))
    assert torch.equal(aligned_bmm(a, b), whole)


def test_aligned_products_are_left_alone() -> None:
    with BitwiseProducts(4) as exact:
        torch.bmm(torch.randn(4, 64, 128), torch.randn(4, 128, 16))
        torch.baddbmm(torch.randn(4, 1, 16), torch.randn(4, 64, 128), torch.randn(4, 128, 16))
    assert not exact.realigned


def test_rows_needed_by_elementwise_kernels() -> None:
    for size, rows in ((64, 0), (33, 1), (10, 4), (1, 31)):
        with BitwiseProducts(5) as exact:
            torch.sigmoid(torch.randn(5, size))
        assert exact.padding == rows
    with BitwiseProducts(5) as exact:
        torch.relu(torch.randn(5, 33))
    assert exact.padding == 0
