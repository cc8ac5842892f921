"""Tests of a run's noise: distributions, independence, and invariance to stacks and processes."""

import itertools

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.modeling.rng.noise import GlobalBatch, Noise, keys
from harness.training.plan import shard

SEEDS = st.integers(0, 2**63 - 1)
FLOATS = st.sampled_from([torch.float32, torch.float64])
quick = settings(max_examples=40, deadline=None, derandomize=True)


def noise(seed=0, step=0, place=0, of=None):
    source = Noise(keys(torch.tensor(seed), step), of)
    source.place = place
    return source


def uniform(seed, step, place, n):
    return noise(seed, step, place).uniform((n,)).double().numpy()


# Values


@quick
@given(seed=SEEDS, dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]))
def test_uniform_lies_in_the_half_open_unit_interval(seed, dtype):
    drawn = noise(seed).uniform((5, 1001), dtype)
    assert drawn.shape == (5, 1001)
    assert drawn.dtype == dtype
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.unique().numel() > 100


@quick
@given(seed=SEEDS, dtype=FLOATS)
def test_normal_is_finite_and_has_its_dtype(seed, dtype):
    drawn = noise(seed).normal((7, 33), dtype)
    assert drawn.dtype == dtype
    assert torch.isfinite(drawn).all()
    assert drawn.unique().numel() == 7 * 33


@quick
@given(seed=SEEDS, low=st.integers(-50, 50), span=st.integers(1, 60))
def test_integers_lie_between_their_bounds(seed, low, span):
    drawn = noise(seed).integers(low, low + span, (400,))
    assert drawn.dtype == torch.int64
    assert drawn.min() >= low
    assert drawn.max() < low + span


@quick
@given(seed=SEEDS, n=st.integers(0, 300))
def test_permutation_holds_every_index_once(seed, n):
    assert torch.equal(noise(seed).permutation(n).sort().values, torch.arange(n))


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("wrap", [float, torch.tensor, lambda p: torch.tensor(p, dtype=torch.float16)])
def test_bernoulli_is_true_with_its_probability(p, wrap):
    n = 1 << 16
    drawn = noise(3).bernoulli((n,), wrap(p))
    assert drawn.dtype == torch.bool
    exact = float(wrap(p))
    assert abs(drawn.double().mean().item() - exact) <= 4 * (exact * (1 - exact) / n) ** 0.5


@pytest.mark.parametrize("p", [0.3, torch.tensor(0.3)])
def test_dropout_scales_kept_elements(p):
    x = torch.rand(400, 50) + 1
    kept = noise().dropout(x, p)
    alive = kept != 0
    torch.testing.assert_close(kept[alive], x[alive] / 0.7)
    assert abs(alive.double().mean().item() - 0.7) < 4 * (0.21 / x.numel()) ** 0.5


@pytest.mark.parametrize("p", [1, 1.0, torch.tensor(1.0)])
def test_full_dropout_is_zero_with_zero_gradient(p):
    x = torch.ones(6, 3, requires_grad=True)
    kept = noise().dropout(x, p)
    kept.sum().backward()
    assert torch.equal(kept.detach(), torch.zeros(6, 3))
    assert torch.equal(x.grad, torch.zeros(6, 3))


def test_empty_draw_is_empty():
    assert noise().normal((0, 4)).shape == (0, 4)
    assert noise().uniform(()).shape == ()


# Dependence on seed, step and place


@quick
@given(seed=SEEDS, step=st.integers(0, 2**41), place=st.integers(0, 2**20))
def test_draws_depend_on_seed_step_and_place(seed, step, place):
    first = noise(seed, step, place).uniform((64,))
    assert torch.equal(first, noise(seed, step, place).uniform((64,)))
    for other in (noise(seed ^ 1, step, place), noise(seed, step + 1, place), noise(seed, step, place + 1)):
        assert (first == other.uniform((64,))).sum() <= 1


def test_each_draw_takes_the_next_place():
    source = noise()
    draws = [source.uniform((8,)), source.uniform((8,)), source.normal((8,)), source.dropout(torch.ones(8))]
    assert source.place == len(draws)
    assert not torch.equal(draws[0], draws[1])
    assert torch.equal(draws[1], noise(place=1).uniform((8,)))


def test_key_is_computed_at_the_first_draw():
    requested = []

    def key():
        requested.append(1)
        return keys(torch.tensor(5), 2)

    source = Noise(key)
    assert not requested
    first = source.uniform((3,))
    source.uniform((3,))
    assert len(requested) == 1
    assert torch.equal(first, noise(5, 2).uniform((3,)))


def test_first_draws_are_those_of_splitmix64():
    mask = (1 << 64) - 1

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        return x ^ (x >> 31)

    seed, step, place, gold = 2**62 + 11, 7, 3, 0x9E3779B97F4A7C15
    key = mix((mix((seed * gold + 1) & mask) + (step + 1) * 0xD1342543DE82EF95) & mask)
    words = [mix((i * gold + key + ((place + 1) << 40) * gold) & mask) for i in range(9)]
    expected = torch.tensor([(w >> 11) * 2.0**-53 for w in words], dtype=torch.float64)
    assert torch.equal(noise(seed, step, place).uniform((9,), torch.float64), expected)


# Slices of a global batch


@quick
@given(
    seed=SEEDS,
    total=st.integers(1, 37),
    world=st.integers(1, 6),
    width=st.lists(st.integers(1, 7), max_size=2),
    dtype=FLOATS,
    kind=st.sampled_from(["uniform", "normal", "bernoulli", "integers"]),
)
def test_draws_of_processes_join_to_the_draw_of_one(seed, total, world, width, dtype, kind):
    def draw(made, count):
        made.place = 5
        if kind == "bernoulli":
            return made.bernoulli((count, *width), 0.4)
        if kind == "integers":
            return made.integers(-3, 9, (count, *width))
        return getattr(made, kind)((count, *width), dtype)

    slices = [shard(total, rank, world) for rank in range(world)]
    parts = [draw(noise(seed, of=part), part.count) for part in slices if part.count]
    assert torch.equal(torch.cat(parts), draw(noise(seed), total))


def test_draw_of_several_rows_per_sample_is_sliced():
    whole = noise().normal((6 * 4, 5))
    part = noise(of=GlobalBatch(2, 3, 6)).normal((3 * 4, 5))
    assert torch.equal(part, whole[2 * 4 : 5 * 4])


def test_draw_without_samples_is_common_to_all_processes():
    assert torch.equal(noise(of=GlobalBatch(4, 4, 8)).normal((7,)), noise().normal((7,)))
    assert torch.equal(noise(of=GlobalBatch(4, 4, 8)).permutation(8), noise().permutation(8))


# Draws under vmap


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seeds=st.lists(SEEDS, min_size=2, max_size=5), shape=st.lists(st.integers(1, 9), min_size=1, max_size=3))
def test_vmap_draws_equal_draws_alone(seeds, shape):
    x, p = torch.linspace(-1, 1, len(seeds) * int(np.prod(shape))).reshape(len(seeds), *shape), torch.tensor(0.3)

    def draw(key, x):
        source = Noise(key)
        return (
            source.uniform(shape),
            source.normal(shape),
            source.normal(shape, torch.float64),
            source.bernoulli(shape, p),
            source.integers(0, 10, shape),
            source.permutation(6),
            source.dropout(x, 0.25),
        )

    together = torch.func.vmap(draw)(keys(torch.tensor(seeds), 9), x)
    for member, seed in enumerate(seeds):
        alone = draw(keys(torch.tensor(seed), 9), x[member])
        assert all(torch.equal(many[member], one) for many, one in zip(together, alone, strict=True))


def test_dropout_accepts_a_probability_for_each_member():
    p = torch.tensor([0.1, 0.5, 0.9])
    kept = torch.func.vmap(lambda key, p: Noise(key).dropout(torch.ones(20_000), p))(keys(torch.arange(3), 0), p)
    shares = (kept != 0).double().mean(1)
    torch.testing.assert_close(shares, 1 - p.double(), atol=0.02, rtol=0)


# Quality: seeds are fixed, so each test always passes or always fails


def test_uniform_and_normal_have_their_distributions():
    n = 1 << 16
    assert scipy.stats.kstest(uniform(0, 0, 0, n), "uniform").pvalue > 1e-3
    wide = noise(1).uniform((n,), torch.float64).numpy()
    assert scipy.stats.kstest(wide, "uniform").pvalue > 1e-3
    for dtype in (torch.float32, torch.float64):
        drawn = noise(2).normal((n,), dtype).double().numpy()
        assert scipy.stats.kstest(drawn, "norm").pvalue > 1e-3
        assert scipy.stats.pearsonr(drawn[::2], drawn[1::2]).pvalue > 1e-3  # both elements of a pair
        assert scipy.stats.pearsonr(drawn[::2] ** 2, drawn[1::2] ** 2).pvalue > 1e-3


def chi_square(*columns, bins):
    counts = np.histogramdd(np.stack(columns, 1), bins, [(0, 1)] * len(columns))[0]
    return scipy.stats.chisquare(counts.ravel()).pvalue


def test_streams_and_their_p_values_are_uniform():
    streams = itertools.product(range(6), range(6), (0, 1))
    p = [chi_square(uniform(seed, step, place, 1 << 13), bins=128) for seed, step, place in streams]
    assert min(p) > 1e-4
    assert scipy.stats.kstest(p, "uniform").pvalue > 1e-3


def test_adjacent_seeds_steps_places_and_indices_are_independent():
    p = []
    for seed in range(8):
        first = uniform(seed, 5, 1, 1 << 14)
        for near in ((seed + 1, 5, 1), (seed, 6, 1), (seed, 5, 2)):
            p.append(chi_square(first, uniform(*near, 1 << 14), bins=16))
        p.append(chi_square(first[:-1], first[1:], bins=16))
    assert min(p) > 1e-4
    assert scipy.stats.kstest(p, "uniform").pvalue > 1e-3


def test_streams_are_uncorrelated():
    n = 1024
    streams = itertools.product(range(6), range(6), range(6))
    drawn = np.stack([noise(seed, step, place).normal((n,)).numpy() for seed, step, place in streams])
    off = np.corrcoef(drawn)[np.triu_indices(len(drawn), 1)] * np.sqrt(n)
    assert abs(off.std() - 1) < 0.02
    assert abs(off).max() < scipy.stats.norm.isf(1e-3 / len(off))


def test_single_element_is_uniform_over_seeds_and_steps():
    seeds = torch.arange(1 << 14)
    over_seeds = torch.func.vmap(lambda key: Noise(key).uniform((1,), torch.float64))(keys(seeds, 0))[:, 0].numpy()
    over_steps = np.array([noise(3, step).uniform((1,), torch.float64).item() for step in range(2048)])
    for drawn, bins in ((over_seeds, 128), (over_steps, 32)):
        assert chi_square(drawn, bins=bins) > 1e-3
        assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) * np.sqrt(len(drawn)) < 4


def test_permutations_are_uniform():
    orders = torch.func.vmap(lambda key: Noise(key).permutation(4))(keys(torch.arange(6000), 1))
    counts = (orders * torch.tensor([64, 16, 4, 1])).sum(1).unique(return_counts=True)[1]
    assert len(counts) == 24
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3
