"""Tests of the jobs of a sweep: grids, zipped keys and variants."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config.overrides import expand, take_zip
from harness.system.errors import HarnessError

KEYS = ["seed", "split.seed", "epochs", "batch_size", "checkpoint_every", "jobs"]
Sweep = tuple[list[str], list[int], list[list[str]]]  # keys, their numbers of values, zipped groups


@st.composite
def sweeps(draw: st.DrawFn) -> Sweep:
    """Draw a sweep whose keys are in any order, of which any are zipped."""
    keys = draw(st.permutations(KEYS))[: draw(st.integers(1, len(KEYS)))]
    group_of = {key: draw(st.integers(0, 2)) for key in keys}  # 0: not zipped
    groups = [[key for key in keys if group_of[key] == number] for number in (1, 2)]
    groups = [draw(st.permutations(group)) for group in groups if len(group) > 1]
    lengths = dict(zip(keys, draw(st.lists(st.integers(1, 3), min_size=len(keys), max_size=len(keys))), strict=True))
    for group in groups:
        lengths |= dict.fromkeys(group, lengths[group[0]])
    return keys, [lengths[key] for key in keys], groups


def expand_words(words: list[str]) -> list[list[str]]:
    overrides, zips = take_zip(words)
    return expand(overrides, zips=zips or [])


@given(sweeps())
def test_zipped_sweep_is_the_grid_of_its_axes(sweep: Sweep) -> None:
    keys, lengths, groups = sweep
    jobs = expand([f"{key}=range({n})" for key, n in zip(keys, lengths, strict=True)], zips=groups)
    values = [dict(word.split("=") for word in job) for job in jobs]
    assert all(list(job) == keys for job in values)
    axes = [[key] for key in keys if not any(key in group for group in groups)]
    axes += [sorted(group, key=keys.index) for group in groups]
    axes.sort(key=lambda axis: keys.index(axis[0]))  # an axis is in the place of its first key
    grid = itertools.product(*(range(lengths[keys.index(axis[0])]) for axis in axes))
    assert values == [
        {key: str(place[at]) for key in keys for at, axis in enumerate(axes) if key in axis} for place in grid
    ]


@given(sweeps(), st.integers(0, 3))
def test_each_variant_is_combined_with_the_whole_grid(sweep: Sweep, count: int) -> None:
    keys, lengths, groups = sweep
    overrides = [f"{key}=range({n})" for key, n in zip(keys, lengths, strict=True)]
    variants = [[f"warmup=0.{number}"] for number in range(count)]
    grid = expand(overrides, zips=groups)
    jobs = expand(overrides, zips=groups, variants=variants)
    assert jobs == [[*variant, *job] for variant in variants or [[]] for job in grid]
    assert len({tuple(job) for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("seed=0,1 split.seed=1,2,3 zip=[seed,split.seed]", "equally many values; seed has 2, split.seed has 3"),
        ("seed=0,1 split.seed=1 zip=[seed,split.seed]", "split.seed=1 is not swept; give it several values"),
        ("seed=0,1 split.seed=1,2 zip=[seed,split.sead]", "split.sead is not swept. Did you mean 'split.seed'?"),
        ("seed=0,1 epochs=1,2 zip=[seed,seed]", "seed is zipped twice"),
        ("seed=0,1 epochs=1,2 jobs=1,2 zip=[[seed,epochs],[jobs,seed]]", "zip=[jobs,seed]: seed is zipped twice"),
        ("seed=0,1 zip=seed", "zip takes keys, zip=[a,b], or groups of keys, zip=[[a,b],[c,d]], got 'seed'"),
        ("seed=0,1 zip=[seed]", "zip takes keys"),
        ("seed=0,1 zip=[seed,1]", "zip takes keys"),
        ("seed=0,1 zip=", "zip takes keys"),
        ("seed=0,1 zip=[[seed,epochs],jobs]", "zip takes keys"),
        ("seed=0,1 zip=[seed,epochs],[jobs,warmup]", "write several groups of keys as zip=[[a,b],[c,d]]"),
        ("seed=0,1 zip=[seed,epochs] zip=[jobs,warmup]", "write several groups of keys as zip=[[a,b],[c,d]]"),
        ("seed=0,1 zip=[seed,epochs", "[ and ] do not match"),
    ],
)
def test_wrong_zip_is_refused(words: str, message: str) -> None:
    with pytest.raises(HarnessError) as refused:
        expand_words(words.split())
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("warmup=0.1", "must be a list of overrides, [model.depth=1,seed=2], got 'warmup=0.1'"),
        (["epochs=1,2"], "epochs=1,2 holds several values: write several variants"),
        (["seed=3"], "seed=3 is also given for all variants: seed=0,1"),
        (["lr=3"], "unknown key 'lr'. Did you mean optimizer.lr?"),
        (["hydra/launcher=basic"], "hydra/launcher=basic cannot vary; set it for the whole sweep"),
        (["epochs=1", "epochs=2"], "epochs is given twice"),
    ],
)
def test_wrong_variant_is_refused(variant: list[str], message: str) -> None:
    with pytest.raises(HarnessError) as refused:
        expand(["seed=0,1"], variants=[[], variant])
    assert str(refused.value).startswith("variant 2")
    assert message in str(refused.value)
