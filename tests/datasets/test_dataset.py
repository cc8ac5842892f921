"""Tests of data sets: divisions, digests, overlap, and validation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.config.seeds import generator
from harness.config.settings import Split
from harness.datasets.dataset import SPLITS, Dataset, Samples, digest, divide, from_arrays, overlap, size
from harness.datasets.sampling import sampled, sampled_index
from harness.datasets.validation import validate
from harness.system.errors import HarnessError


class Streamed(torch.utils.data.Dataset):
    """Data that does not fit in memory."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return np.full((2, 3), i, dtype=np.float32), i % 2


def streamed(**rest):
    arguments = {"target": "class", "classes": ("a", "b"), **rest}
    return Dataset(Streamed(6), Streamed(2), Streamed(2), **arguments)


def whole(n=50, target="class", seed=0):
    x = np.arange(n * 3, dtype=np.float64).reshape(n, 3)
    y = {"class": np.arange(n) % 2, "real": x[:, :2], "labels": x[:, :2] % 2}[target]
    classes = ("even", "odd") if target != "real" else ()
    return from_arrays(x, y, Split(), generator(seed, "split"), target=target, classes=classes)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(n=st.integers(3, 500), val=st.floats(0.01, 0.49), test=st.floats(0.01, 0.49), seed=st.integers(0, 99))
def test_random_division_is_a_partition_with_the_requested_shares(n, val, test, seed):
    split = Split(val=val, test=test)
    left = n - math.ceil(n * val) - math.ceil(n * test)
    if left < 1:
        with pytest.raises(HarnessError, match=f"^{n} samples "):
            divide(n, split, generator(seed))
        return
    parts = divide(n, split, generator(seed))
    assert {name: len(parts[name]) for name in SPLITS} == {
        "train": left,
        "val": math.ceil(n * val),
        "test": math.ceil(n * test),
    }
    assert torch.equal(torch.cat([parts[name] for name in SPLITS]).sort().values, torch.arange(n))
    assert all(torch.equal(parts[name], divide(n, split, generator(seed))[name]) for name in SPLITS)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(3, 90), min_size=2, max_size=6),
    val=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 99),
)
def test_stratified_division_is_a_partition_with_the_shares_of_each_class(sizes, val, test, seed):
    n, y = sum(sizes), torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))  # sorted by class
    wanted = {"val": math.ceil(n * val), "test": math.ceil(n * test)}
    wanted["train"] = n - sum(wanted.values())
    assume(min(wanted["val"], wanted["test"]) >= len(sizes))
    parts = divide(n, Split(val=val, test=test), generator(seed), y)
    assert {name: len(part) for name, part in parts.items()} == wanted
    assert torch.equal(torch.cat([parts[name] for name in SPLITS]).sort().values, torch.arange(n))
    whole = torch.tensor(sizes) / n
    for name, part in parts.items():
        counts = y[part].bincount(minlength=len(sizes))
        assert bool(((counts - len(part) * whole).abs() <= 2).all()), name  # one for each rounding
    again = divide(n, Split(val=val, test=test), generator(seed), y)
    assert all(torch.equal(parts[name], again[name]) for name in SPLITS)


@pytest.mark.parametrize("presented", ["sorted", "shuffled"])
@pytest.mark.parametrize("split", SPLITS)
def test_samples_at_any_place_of_a_split_are_random(split, presented):
    """Class counts of the first, middle and last k over many seeds: hypergeometric, within five standard errors."""
    sizes = torch.tensor([70, 20, 10, 10, 10])
    y = torch.arange(5).repeat_interleave(sizes)
    if presented == "shuffled":
        y = y[torch.randperm(120, generator=generator(1))]
    k, seeds = 6, 400
    parts = [y[divide(120, Split(), generator(seed), y)[split]] for seed in range(seeds)]
    p = parts[0].bincount(minlength=5) / len(parts[0])
    assert all(torch.equal(part.bincount(minlength=5), parts[0].bincount(minlength=5)) for part in parts)
    error = (p * (1 - p) * k * (len(parts[0]) - k) / (len(parts[0]) - 1) / seeds).sqrt()
    middle = (len(parts[0]) - k) // 2
    for at in (slice(0, k), slice(middle, middle + k), slice(-k, None)):
        mean = torch.stack([part[at].bincount(minlength=5) for part in parts]).double().mean(0)
        assert bool(((mean - k * p).abs() <= 5 * error).all()), (at, mean, k * p)


@pytest.mark.parametrize("in_memory", [True, False])
def test_sample_of_a_sorted_split_has_all_of_its_classes(in_memory):
    y = torch.arange(10).repeat_interleave(100)
    part = Samples(y[:, None].float(), y)
    part = part if in_memory else list(zip(part.x, part.y, strict=True))
    dataset = Dataset(part, part, part, target="class", classes=tuple("abcdefghij"), digest="d")
    x, targets = sampled(dataset, 200)
    assert len(targets.unique()) == 10
    assert torch.equal(x[:, 0].long(), targets)
    assert torch.equal(targets, sampled(dataset, 200)[1])


def test_indices_of_a_sample_are_different_and_in_order():
    for n, count in ((5, 9), (5, 5), (100, 7), (10**9, 50)):
        index = sampled_index(n, count)
        assert len(index) == min(n, count)
        assert bool((index.diff() > 0).all())
        assert 0 <= int(index[0]) <= int(index[-1]) < n


def test_random_division_is_one_permutation_cut_in_three():
    order, parts = torch.randperm(50, generator=generator(4)), divide(50, Split(), generator(4))
    assert torch.equal(torch.cat([parts["test"], parts["val"], parts["train"]]), order)


def test_division_depends_on_the_seed():
    assert not torch.equal(divide(50, Split(), generator(0))["test"], divide(50, Split(), generator(1))["test"])


@pytest.mark.parametrize("y", [None, torch.arange(100) % 3])
def test_validation_share_does_not_move_the_test_split(y):
    few, many = (divide(100, Split(val=val), generator(3), y)["test"] for val in (0.1, 0.3))
    assert torch.equal(few, many)


@pytest.mark.parametrize("target", ["class", "real"])
def test_inputs_keep_their_targets(target):
    data = whole(target=target)
    for split in SPLITS:
        part = data.part(split)
        assert part.x.dtype == torch.float32
        expected = part.x[:, 0].to(torch.int64) % 2 if target == "class" else part.x[:, :2]
        assert torch.equal(part.y, (part.x[:, 0] / 3).to(torch.int64) % 2 if target == "class" else expected)
    assert data.inputs == (3,)
    assert data.width == 2
    assert data.train.y.dtype == (torch.int64 if target == "class" else torch.float32)


def test_single_real_target_is_a_column():
    data = from_arrays(np.ones((20, 2)), np.arange(20.0), Split(), generator(0), target="real")
    assert data.train.y.shape == (len(data.train), 1)
    assert data.width == 1


def test_views_and_read_only_arrays_are_accepted():
    x = np.broadcast_to(np.arange(40.0)[:, None], (40, 2))[::-1]
    data = from_arrays(x, np.arange(40)[::-1] % 2, Split(), generator(0), target="class", classes=range(2))
    assert torch.equal(data.train.y, data.train.x[:, 0].long() % 2)


def test_digest_depends_on_all_contents_of_the_splits():
    data = whole()
    first = digest(data)
    assert first == digest(whole())
    assert len(first) == 16
    assert int(first, 16) >= 0
    changed = data.val.x.clone()
    changed[0, 0] += 1e-3
    others = [
        whole(seed=1),
        whole(51),
        replace(data, classes=("even", "0dd")),
        replace(data, vocabulary=("even", "odd")),
        replace(data, analogies=((0, 1, 1, 0),)),
        replace(data, val=Samples(changed, data.val.y)),
        replace(data, val=Samples(data.val.x, 1 - data.val.y)),
        replace(data, val=data.test, test=data.val),
        replace(data, train=Samples(data.train.x.double(), data.train.y)),
    ]
    assert len({first, *(digest(other) for other in others)}) == len(others) + 1


def test_data_not_in_memory_has_its_given_digest():
    data = streamed(digest="feed")
    assert not data.in_memory
    assert digest(data) == "feed"
    assert overlap(data) is None
    assert data.inputs == (2, 3)
    assert replace(data, target="real", outputs=5).width == 5
    assert [size(data.part(split)) for split in SPLITS] == [6, 2, 2]
    validate(data, "mine")


def test_mapped_function_applies_to_every_split():
    data = whole()
    doubled = data.mapped(lambda x: 2 * x)
    for split in SPLITS:
        assert torch.equal(doubled.part(split).x, 2 * data.part(split).x)
        assert torch.equal(doubled.part(split).y, data.part(split).y)
    later = streamed(digest="feed").mapped(lambda x: x.flatten(1)).mapped(lambda x: x[:, :5])
    assert later.inputs == (5,)
    assert len(later.transforms) == 2


def test_overlap_counts_distinct_inputs_in_more_than_one_split():
    def part(*values):
        x = torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, 4)
        return Samples(x, torch.zeros(len(values), dtype=torch.int64))

    def of(train, val, test):
        return overlap(Dataset(part(*train), part(*val), part(*test), target="class", classes=("a", "b")))

    assert of([1, 2, 3], [4], [5]) == 0
    assert of([1, 1, 2], [1], [1, 2, 3]) == 2
    assert of([1, 2], [3, 3], [3]) == 1
    assert of([1, 1], [2, 2], [3, 3]) == 0


def broken():
    data = whole()
    nan, far = data.val.x.clone(), data.test.y.clone()
    nan[3, 1] = math.nan
    far[2] = 7
    real = whole(target="real")
    infinite = real.train.y.clone()
    infinite[0, 1] = math.inf
    empty = Samples(data.val.x[:0], data.val.y[:0])
    one = Samples(data.train.x, torch.zeros_like(data.train.y))
    labels = whole(target="labels")
    half, whole_numbers = labels.test.y.clone(), labels.val.y.long()
    half[1, 1] = 0.5
    return {
        "the val split is empty": replace(data, val=empty),
        "train has 32 inputs and 31 targets": replace(data, train=Samples(data.train.x, data.train.y[1:])),
        r"inputs of the val split hold nan at \[3, 1\]": replace(data, val=Samples(nan, data.val.y)),
        r"targets of the train split hold inf at \[0, 1\]": replace(real, train=Samples(real.train.x, infinite)),
        "there is only one class": replace(data, classes=("even",), val=one, test=one, train=one),
        "the training split holds only one class": replace(data, train=one),
        "class 7 in the test split is not in 0 .. 1": replace(data, test=Samples(data.test.x, far)),
        "word 2 in the val split is not in 0 .. 1": replace(
            data,
            **{
                split: Samples(torch.full((len(data.part(split)), 1), 1 + (split == "val")), data.part(split).y)
                for split in SPLITS
            },
            vocabulary=("a", "b"),
        ),
        "need a digest": streamed(),
        "targets of the test split hold 0.5, but a label is 0 or 1": replace(labels, test=Samples(labels.test.x, half)),
        r"the val split must be float of shape \[N, 2\], one column per label, got torch.int64 \[8, 2\]": replace(
            labels, val=Samples(labels.val.x, whole_numbers)
        ),
        r"must be float of shape \[N, 3\], one column per label, got torch.float32 \[32, 2\]": replace(
            labels, classes=("a", "b", "c")
        ),
        "labels need names": streamed(target="labels", classes=(), digest="feed"),
    }


@pytest.mark.parametrize("message", broken())
def test_invalid_data_is_refused_by_name(message):
    with pytest.raises(HarnessError, match=f"^data mine: .*{message}"):
        validate(broken()[message], "mine")


@pytest.mark.parametrize("target", ["class", "real"])
def test_valid_data_is_accepted(target):
    assert validate(whole(target=target), "mine") is None
