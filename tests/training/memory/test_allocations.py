"""Tests of traced allocations, and of their extrapolation to any number of samples."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from harness.training.memory.allocations import (
    Allocation,
    AllocationTrace,
    ScaledAllocation,
    peak_bytes,
    scale_trace,
    trace_allocations,
)


def passed(model: nn.Module, count: int) -> AllocationTrace:
    x = torch.randn(count, 8)
    with trace_allocations(model, [x]) as trace:
        grads = torch.autograd.grad(model(x).sum(), list(model.parameters()))
    del grads
    return trace


def test_saved_activations_per_layer_match_the_closed_form() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4), nn.ReLU())
    allocations = scale_trace(passed(model, 3), 3, passed(model, 5), 5)
    saved = {s.allocation.layer: s.bytes(1000) for s in allocations if s.allocation.saved}
    assert saved == {"1": 4 * 16 * 1000, "3": 4 * 4 * 1000}  # tanh and relu save their outputs; x existed before
    kept = [s.bytes(7) for s in allocations if s.allocation.freed is None]
    assert sorted(kept) == sorted(4 * n for n in (8 * 16, 16, 16 * 4, 4))  # the gradients, for any batch size


def test_freed_block_is_recorded_as_freed() -> None:
    with trace_allocations(nn.Module()) as trace:
        a = torch.zeros(1000)
        b = a.view(10, 100)  # allocates no block
        del a, b
        c = torch.zeros(500)
    del c
    assert [(allocation.bytes, allocation.freed is None) for allocation in trace.allocations] == [
        (4000, False),
        (2000, True),
    ]
    assert peak_bytes(scale_trace(trace, 1, trace, 1), 1) == (4000, 0)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 5)), min_size=1, max_size=20))
@settings(deadline=None)
def test_peak_matches_a_search_over_all_moments(drawn: list[tuple[int, int]]) -> None:
    """Block i is allocated at 10 i and freed at 10 (i + length) + 1; the reference checks every moment."""
    sized = [
        ScaledAllocation(size, 0.0, Allocation(size, 10 * i, "", freed=10 * (i + n) + 1))
        for i, (size, n) in enumerate(drawn)
    ]
    moments = range(10 * (len(drawn) + 6))

    def most(chosen: list[ScaledAllocation]) -> int:
        return max(
            sum(s.bytes(1) for s in chosen if s.allocation.allocated <= t < (s.allocation.freed or 0)) for t in moments
        )

    assert peak_bytes(sized, 1) == (most(sized), 0)
    small, large = [s for s in sized if s.bytes(1) < 500], [s for s in sized if s.bytes(1) >= 500]
    assert peak_bytes(sized, 1, heap_below=500) == (most(large), most(small))
