"""Tests of the memory plan of a recorded function."""

from __future__ import annotations

import random

import pytest

from harness.training.recorded.lifetimes import LINE, assign_offsets


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
