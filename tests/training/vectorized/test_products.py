"""Tests of the products of a stack by numpy: equal to torch's, of the same bits in any stack, and recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.system import blas
from harness.testing.training import cohort, same
from harness.training.vectorized.products import baddbmm, bmm
from tests.training.recorded.test_steps import SHARED, VARIANTS, assert_same_bits, lines

SIDES = st.integers(1, 40)


@pytest.fixture(autouse=True, scope="module")
def by_numpy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blas, "product_library", lambda: "numpy")
        yield


@given(st.integers(1, 9), SIDES, SIDES, SIDES, st.booleans(), st.booleans())
def test_products_equal_those_of_torch(k: int, n: int, m: int, o: int, turned: bool, wide: bool) -> None:
    draw = torch.Generator().manual_seed(n * m * o)
    a, b = (torch.randn(k, *shape, generator=draw) for shape in ((n, m), (m, o)))
    bias = torch.randn(k, 1, o, generator=draw)
    if turned:
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    if wide:
        a, b, bias = a.double(), b.double(), bias.double()
    tolerance = {"rtol": 1e-12, "atol": 1e-12} if wide else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(bmm(a, b), torch.bmm(a, b), **tolerance)
    torch.testing.assert_close(baddbmm(bias, a, b), torch.baddbmm(bias, a, b), **tolerance)


def test_products_that_overflow_are_infinite_without_a_warning() -> None:
    large = torch.full((2, 3, 3), 3e38)
    assert bmm(large, large).isinf().all()
    assert bmm(large, -large).isinf().all()
    assert bmm(torch.full((2, 3, 3), torch.inf), torch.zeros(2, 3, 3)).isnan().all()


@given(SIDES, SIDES, SIDES, st.booleans())
def test_products_are_independent_of_the_stack(n: int, m: int, o: int, turned: bool) -> None:
    draw = torch.Generator().manual_seed(n * m * o)
    a, b = torch.randn(9, n, m, generator=draw), torch.randn(9, m, o, generator=draw)
    if turned:
        a, b = a.mT.contiguous().mT, b.mT.contiguous().mT
    whole = bmm(a, b)
    assert torch.equal(bmm(a[3:5], b[3:5]), whole[3:5])
    assert torch.equal(bmm(a[[8, 1]], b[[8, 1]]), whole[[8, 1]])


@pytest.mark.parametrize("variant", ["adam", "matrices", "batch normalization", "dropout", "early stopping", "float64"])
def test_stack_replays_the_bits_of_plain_steps(variant: str) -> None:
    assert_same_bits(VARIANTS[variant], SHARED, fused=True)


@pytest.mark.parametrize("variant", ["adam", "batch normalization"])
def test_member_is_bitwise_independent_of_the_others(variant: str) -> None:
    words = [*VARIANTS[variant], "recording=always"]
    several = cohort(lines(words, [[f"seed={seed}"] for seed in range(8)]))
    two = cohort(lines(words, [["seed=5"], ["seed=2"]]))
    assert same(several[5], two[0])
    assert same(several[2], two[1])


@pytest.mark.parametrize(
    ("vendor", "openblas", "library"),
    [
        ("AuthenticAMD", True, "numpy"),
        ("AuthenticAMD", False, "torch"),
        ("GenuineIntel", True, "torch"),
        ("", True, "torch"),
    ],
)
def test_library_is_a_function_of_the_machine(vendor: str, openblas: bool, library: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blas, "vendor", lambda: vendor)
        patch.setattr(blas, "_numpy_has_openblas", lambda: openblas)
        assert RULE() == library


RULE = blas.product_library.__wrapped__
