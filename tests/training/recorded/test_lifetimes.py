"""Tests of the memory plan of a recorded function."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from harness.training.recorded.lifetimes import LINE, assign_offsets, lifetimes, share_storages
from harness.training.recorded.recording import Recorder


@pytest.mark.parametrize("seed", range(5))
def test_storages_that_are_alive_together_do_not_overlap(seed: int) -> None:
    draw = random.Random(seed)
    alive = {i: (first := draw.randrange(100), first + draw.randrange(20)) for i in range(200)}
    sizes = {i: draw.choice([0, 4, 64, 100, 4096]) for i in alive}
    offsets, size = assign_offsets(sizes, alive)
    assert all(offset % LINE == 0 for offset in offsets.values())
    assert max(offsets[i] + sizes[i] for i in alive) <= size < sum(max(LINE, s) + LINE for s in sizes.values())
    for i in alive:
        for j in range(i):
            together = alive[i][0] <= alive[j][1] and alive[j][0] <= alive[i][1]
            apart = offsets[i] + sizes[i] <= offsets[j] or offsets[j] + sizes[j] <= offsets[i]
            assert apart or not together


@pytest.mark.parametrize(
    ("function", "shared"),
    [
        (lambda x: (x + 1).relu() * 2, 1),  # relu takes the memory of the sum; the product is the result
        (lambda x: ((x + 1).relu() - 3) * 2, 2),
        (lambda x: (t := x + 1).relu() * t, 0),  # which is needed later
        (lambda x: (x + 1).sub((x + 1)[:1]) * 2, 1),
        (lambda x: (t := x + 1).sub(t[:1]) * 2, 0),  # of which the operation reads another view
        (lambda x: (x + 1).double().mul(2) + 1, 1),  # not of another precision
        (lambda x: x.relu() * 2, 0),  # not of an argument
    ],
)
def test_result_takes_the_memory_of_an_argument_that_ends_with_the_operation(
    function: Callable[[Tensor], Tensor], shared: int
) -> None:
    x = torch.ones(4, 5)
    with Recorder() as recorder:
        result = function(x)
    recording, needed = recorder.recording, list(range(len(recorder.recording.operations)))
    alive = lifetimes(recording, needed, {recorder.refs([result])[0].storage})
    assert len(share_storages(recording, needed, alive)) == shared
