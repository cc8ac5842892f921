"""Tests of search spaces: the samples that they draw, and invalid spaces."""

import math
from random import Random

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.space import SPACES, Choice, Integers, Log, Space, Uniform, parse_space, space_text

quick = settings(max_examples=100, deadline=None, derandomize=True)
N = 2000


def drawn(space, n=N):
    rng = Random(0)
    return [space.sample(rng) for _ in range(n)]


@quick
@given(seed=st.integers(), ends=st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)).filter(lambda e: e[0] < e[1]))
def test_uniform_stays_in_its_range(seed, ends):
    assert ends[0] <= Uniform(*ends).sample(Random(seed)) <= ends[1]


@quick
@given(
    seed=st.integers(), ends=st.tuples(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300)).filter(lambda e: e[0] < e[1])
)
def test_log_stays_in_its_range(seed, ends):
    assert ends[0] <= Log(*ends).sample(Random(seed)) <= ends[1]


@quick
@given(seed=st.integers(), low=st.integers(1, 10**9), more=st.integers(1, 10**9), log=st.booleans())
def test_integers_stay_in_their_range(seed, low, more, log):
    value = Integers(low, low + more, log).sample(Random(seed))
    assert type(value) is int
    assert low <= value <= low + more


def test_uniform_and_log_have_their_distributions():
    assert scipy.stats.kstest(drawn(Uniform(-2, 3)), scipy.stats.uniform(-2, 5).cdf).pvalue > 0.01
    exact = scipy.stats.loguniform(1e-5, 10)
    assert scipy.stats.kstest(drawn(Log(1e-5, 10)), exact.cdf).pvalue > 0.01


@pytest.mark.parametrize("log", [False, True])
def test_integers_have_their_probabilities(log):
    values = drawn(Integers(1, 6, log))
    shares = [math.log((k + 1) / k) / math.log(7) if log else 1 / 6 for k in range(1, 7)]
    counts = [values.count(k) for k in range(1, 7)]
    assert sum(counts) == N
    assert scipy.stats.chisquare(counts, [N * share for share in shares]).pvalue > 0.01


def test_choice_draws_each_option_equally():
    values = drawn(Choice("a", None, (0.9, 0.99)))
    assert scipy.stats.chisquare([values.count(o) for o in ("a", None, (0.9, 0.99))]).pvalue > 0.01


def test_choice_accepts_lists_for_tuples():
    assert Choice([0.9, 0.99]) == Choice((0.9, 0.99))
    assert hash(Choice([0.9, 0.99])) == hash(Choice((0.9, 0.99)))


@pytest.mark.parametrize("space", [Uniform(0, 1), Log(1, 2), Integers(0, 9), Choice(1, 2)])
def test_sample_depends_on_the_generator_only(space):
    assert space.sample(Random(5)) == space.sample(Random(5))
    assert len(set(drawn(space, 50))) > 1
    assert SPACES[type(space).__name__] is type(space)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 1), "low < high"),
        (lambda: Uniform(0, math.inf), "finite"),
        (lambda: Uniform(math.nan, 1), "finite"),
        (lambda: Log(0, 1), "low > 0"),
        (lambda: Log(-1, 1), "low > 0"),
        (lambda: Log(2, 1), "low < high"),
        (lambda: Integers(3, 3), "low < high"),
        (lambda: Integers(0, 3, log=True), "low >= 1"),
        (Choice, "at least one"),
    ],
)
def test_empty_or_unbounded_space_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_space_without_sample_raises():
    with pytest.raises(NotImplementedError):
        Space().sample(Random(0))


TEXTS = [
    "uniform(-1.0, 2.0)",
    "log(0.0001, 0.1)",
    "integers(1, 8)",
    "integers(1, 512, log=True)",
    "choice('a', 2, None)",
]


@pytest.mark.parametrize("text", TEXTS)
def test_space_is_read_as_it_is_written(text):
    assert space_text(parse_space(text)) == text


@quick
@given(share=st.floats(0, 1, exclude_max=True), text=st.sampled_from(TEXTS[:2]))
def test_share_of_a_number_is_the_inverse_of_at(share, text):
    space = parse_space(text)
    assert space.share(space.at(share)) == pytest.approx(share, rel=1e-9, abs=1e-9)


@quick
@given(share=st.floats(0, 1, exclude_max=True), text=st.sampled_from(TEXTS[2:]))
def test_value_lies_at_its_own_share(share, text):
    space = parse_space(text)
    assert space.at(space.share(space.at(share))) == space.at(share)


@pytest.mark.parametrize(
    "text",
    ["", "log", "log(", "log(1)", "log(0, 1)", "log(1, 0.1)", "log(a, b)", "uniform(1, inf)", "choice()", "eval('1')",
     "__import__('os')", "integers(1.5, 'a')", "uniform(0, 1, 2)", "log(1, 2, base=3)", "uniform(nan, 1)", "a.b(1)"],
)  # fmt: skip
def test_text_that_is_no_space_is_refused(text):
    with pytest.raises(ValueError, match=r"must be one of|is no search space"):
        parse_space(text)
