"""Tests of derived seeds: one for each purpose, in the range that noise and torch accept."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config.seeds import derive, generator


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**63 - 1), purpose=st.lists(st.text(max_size=4) | st.integers(0, 9), max_size=3))
def test_derived_seed_is_in_range_and_depends_on_seed_and_purpose(seed, purpose):
    derived = derive(seed, *purpose)
    assert 0 <= derived < 2**63
    assert derived == derive(seed, *purpose)
    assert derived != derive(seed + 1, *purpose)
    assert derived != derive(seed, *purpose, "more")


def test_derived_seeds_are_distinct():
    assert len({derive(seed, purpose) for seed in range(100) for purpose in ("model", "order", "split")}) == 300


def test_generator_depends_on_its_purpose():
    first, again, other = (generator(3, *p) for p in (("order", 1), ("order", 1), ("order", 2)))
    drawn = torch.rand(8, generator=first)
    assert torch.equal(drawn, torch.rand(8, generator=again))
    assert not torch.equal(drawn, torch.rand(8, generator=other))
