"""Tests of the convolutions of a stack by products: values and gradients of torch, and the same bits in any stack."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from harness.training.vectorized import ops
from harness.training.vectorized.bitwise import BitwiseProducts
from harness.training.vectorized.ops import _convolve

SETTINGS = st.tuples(
    st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)), st.integers(0, 2), st.integers(1, 2)
)  # kernel, stride, padding, dilation


def images(rows: int, channels: int, height: int, width: int, outputs: int, kernel: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(height * width + channels)
    shapes = [(rows, 3, channels, height, width), (rows, outputs, channels, kernel, kernel), (rows, outputs)]
    return [torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_() for shape in shapes]


@given(st.integers(1, 3), st.integers(5, 9), st.integers(5, 9), st.integers(1, 4), SETTINGS)
def test_values_and_gradients_equal_those_of_torch(
    channels: int, height: int, width: int, outputs: int, settings: tuple[int, tuple[int, int], int, int]
) -> None:
    kernel, stride, padding, dilation = settings
    tensors = images(4, channels, height, width, outputs, kernel)
    ours = _convolve(*tensors, stride, padding, dilation)
    rows = zip(*tensors, strict=True)
    reference = torch.stack([F.conv2d(x, w, b, stride, padding, dilation) for x, w, b in rows])
    assert ours is not None
    torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)
    weights = torch.randn(reference.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for g, expected in zip(
        torch.autograd.grad(ours, tensors, weights), torch.autograd.grad(reference, tensors, weights), strict=True
    ):
        torch.testing.assert_close(g, expected, rtol=1e-12, atol=1e-12)


def test_bits_are_independent_of_the_stack() -> None:
    tensors = [t.float().detach().requires_grad_() for t in images(6, 3, 7, 7, 5, 3)]

    def computed(rows: list[int]) -> list[Tensor]:
        some = [t[rows].detach().requires_grad_() for t in tensors]
        with BitwiseProducts(len(rows)):
            result = _convolve(*some, (1, 1), (1, 1))
            assert result is not None
            return [result, *torch.autograd.grad(result.square().sum(), some)]

    whole = computed(list(range(6)))
    for rows in ([0, 1], [5, 2, 3]):
        assert all(torch.equal(a, b[rows]) for a, b in zip(computed(rows), whole, strict=True))


@pytest.mark.parametrize("settings", [("valid",), (1, "same"), (1, 0, 1, 2)], ids=str)
def test_other_kinds_are_left_to_torch(settings: tuple[object, ...]) -> None:
    x, w, b = images(2, 2, 6, 6, 4, 3)
    assert _convolve(x, w[:, :, :1] if settings == (1, 0, 1, 2) else w, b, *settings) is None


def test_large_images_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = images(2, 3, 6, 6, 4, 3)
    assert _convolve(*tensors) is not None
    monkeypatch.setattr(ops, "WINDOWS", 3 * 4 * 4 * 27 - 1)
    assert _convolve(*tensors) is None
