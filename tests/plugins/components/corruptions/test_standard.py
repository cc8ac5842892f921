from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config.composition import compose
from harness.config.seeds import generator
from harness.datasets.dataset import SPLITS, Dataset, Samples, digest, overlap
from harness.datasets.loading import OverlapWarning, load, warn_of_overlap
from harness.registry import catalogue
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import data, make


def noisy(dataset, p, seed=0):
    return make("corruption", "label_noise", {"p": p}, dataset=dataset, generator=generator(seed, "corruption"))


@pytest.mark.parametrize("p", [0.0, 0.05, 0.333, 1.0])
def test_label_noise_changes_exactly_its_share(p):
    clean = data("digits")
    dirty = noisy(clean, p)
    changed = dirty.train.y != clean.train.y
    assert changed.sum() == round(p * len(clean.train))
    assert dirty.train.y.min() >= 0
    assert dirty.train.y.max() < 10
    assert torch.equal(dirty.train.x, clean.train.x)
    assert dirty.val is clean.val
    assert dirty.test is clean.test


def test_wrong_labels_are_uniform_over_the_other_classes():
    n, classes = 9000, 10
    part = Samples(torch.zeros(n, 1), torch.full((n,), 4))
    clean = Dataset(part, part, part, target="class", classes=tuple("abcdefghij"))
    counts = noisy(clean, 1.0).train.y.bincount(minlength=classes)
    assert counts[4] == 0
    others = torch.cat([counts[:4], counts[5:]])
    assert scipy.stats.chisquare(others.numpy()).pvalue > 0.01


def corrupted(name, dataset, settings=None, /, seed=0):
    return make("corruption", name, settings, dataset=dataset, generator=generator(seed, "corruption", name))


def rows(part):
    """Return the samples of a split as a sorted list."""
    return sorted(zip(part.x.flatten(1).tolist(), part.y.flatten().tolist(), strict=True))


def test_permuted_pixels_use_one_permutation_for_all_splits():
    clean = data("digits")
    dirty = corrupted("permuted_pixels", clean)
    places = torch.arange(64.0).reshape(1, 1, 8, 8)
    part = Samples(places, torch.zeros(1, dtype=torch.long))
    order = corrupted("permuted_pixels", replace(clean, train=part)).train.x.flatten().long()
    assert sorted(order.tolist()) == list(range(64))
    assert order.tolist() != list(range(64))
    for split in SPLITS:
        before, after = clean.part(split), dirty.part(split)
        assert torch.equal(after.x.flatten(1), before.x.flatten(1)[:, order])
        assert torch.equal(after.y, before.y)
        assert after.x.shape == before.x.shape


def test_permuted_pixels_move_channels_together_and_apply_to_vectors():
    base = torch.arange(20.0).reshape(1, 1, 4, 5)
    part = Samples(torch.cat([base, base + 100, base + 200], dim=1), torch.zeros(1))
    x = corrupted("permuted_pixels", Dataset(part, part, part, target="real")).train.x[0]
    assert torch.equal(x[1] - x[0], torch.full((4, 5), 100.0))
    assert torch.equal(x[2] - x[0], torch.full((4, 5), 200.0))
    part = Samples(torch.arange(12.0).reshape(1, 4, 3), torch.zeros(1))
    result = corrupted("permuted_pixels", Dataset(part, part, part, target="real")).train.x
    assert sorted(result.flatten().tolist()) == list(range(12))
    assert {row // 3 for row in result[0, 0].tolist()} != {0.0}


def test_shifted_changes_mean_and_deviation_of_test_only():
    clean = data("iris")
    dirty = corrupted("shifted", clean, {"offset": 2.0, "scale": 3.0})
    assert dirty.train is clean.train
    assert dirty.val is clean.val
    train, test = clean.train.x.double().numpy(), clean.test.x.double().numpy()
    expected = train.mean(0) + 3 * (test - train.mean(0)) + 2 * train.std(0)
    np.testing.assert_allclose(dirty.test.x.numpy(), expected, rtol=1e-5, atol=1e-4)
    assert torch.equal(dirty.test.y, clean.test.y)
    both = corrupted("shifted", clean, {"offset": 2.0, "scale": 3.0, "splits": "all"})
    assert torch.equal(both.test.x, dirty.test.x)
    np.testing.assert_allclose(both.train.x.mean(0), train.mean(0) + 2 * train.std(0), rtol=1e-5, atol=1e-4)


def test_shifted_images_keep_their_picture_within_the_canvas():
    clean = data("digits")
    dirty = corrupted("shifted", clean, {"offset": 0.0, "pixels": 2})
    seen = set()
    for before, after in zip(clean.test.x[:, 0].numpy(), dirty.test.x[:, 0].numpy(), strict=True):
        fits = [
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if np.allclose(scipy.ndimage.shift(before, (dy, dx), order=0, cval=before.min()), after, atol=1e-5)
        ]
        assert fits
        seen.add(fits[0])
    assert len(seen) == 25
    with pytest.raises(HarnessError, match=r"pixels moves images, and samples here have shape \(4,\)"):
        corrupted("shifted", data("iris"), {"pixels": 1})


def test_zero_shift_is_the_identity():
    clean = data("digits")
    assert torch.equal(corrupted("shifted", clean, {"offset": 0.0}).test.x, clean.test.x)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.01])
def test_imbalance_keeps_a_geometric_share_of_each_class(ratio):
    clean = data("digits")
    dirty = corrupted("imbalance", clean, {"ratio": ratio})
    before, after = clean.train.y.bincount(), dirty.train.y.bincount()
    expected = [max(1, round(int(n) * ratio ** (c / 9))) for c, n in enumerate(before)]
    assert after.tolist() == expected
    assert dirty.val is clean.val
    assert dirty.test is clean.test
    assert set(map(str, rows(dirty.train))) <= set(map(str, rows(clean.train)))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_leak_adds_test_samples_to_training(share):
    clean = data("digits")
    dirty = corrupted("leak", clean, {"share": share})
    count = round(share * len(clean.test))
    assert len(dirty.train) == len(clean.train) + count
    assert torch.equal(dirty.train.x[: len(clean.train)], clean.train.x)
    added = Samples(dirty.train.x[len(clean.train) :], dirty.train.y[len(clean.train) :])
    assert set(map(str, rows(added))) <= set(map(str, rows(clean.test)))
    assert dirty.test is clean.test
    assert overlap(dirty) == count


def test_leak_is_refused_warned_of_or_ignored_as_set():
    def loaded(*overrides):
        return load(compose(["data=digits", "corruption=[leak]", "corruption.leak.share=0.5", *overrides]).values)

    result = loaded("split.on_overlap=ignore")
    assert result.overlap == 180  # half of 360
    with pytest.raises(HarnessError, match="180 samples are in more than one split"):
        loaded("split.on_overlap=error")
    values = compose(["split.on_overlap=warn"]).values
    with pytest.warns(OverlapWarning, match="180 samples"):
        warn_of_overlap(result.overlap, values)


@pytest.mark.parametrize("by", ["mean", "feature", "class"])
def test_biased_split_gives_the_test_split_the_largest(by):
    clean = data("breast_cancer")
    dirty = corrupted("biased_split", clean, {"by": by, "feature": 3})
    keys = {
        "mean": lambda part: part.x.double().mean(1),
        "feature": lambda part: part.x[:, 3],
        "class": lambda part: part.y,
    }
    train, val, test = (keys[by](dirty.part(split)) for split in SPLITS)
    assert max(train.max(), val.max()) <= test.min()
    assert [len(dirty.part(s)) for s in SPLITS] == [len(clean.part(s)) for s in SPLITS]
    whole = [sorted(row for split in SPLITS for row in rows(d.part(split))) for d in (dirty, clean)]
    assert whole[0] == whole[1]
    assert abs(train.double().mean() - val.double().mean()) < train.double().std() / 2  # divided at random


def test_strength_of_a_biased_split_ranges_from_random_to_full():
    clean = data("digits")

    def apart(strength):
        dirty = corrupted("biased_split", clean, {"strength": strength})
        return float(dirty.test.x.mean() - dirty.train.x.mean())

    none, some, all_of_it = apart(0.0), apart(0.5), apart(1.0)
    assert abs(none) < 0.1
    assert none + 0.2 < some < all_of_it - 0.2


def test_impossible_biased_split_is_refused():
    with pytest.raises(HarnessError, match="the targets here are real"):
        corrupted("biased_split", data("diabetes"), {"by": "class"})
    with pytest.raises(HarnessError, match="feature=4, and there are 4"):
        corrupted("biased_split", data("iris"), {"by": "feature", "feature": 4})
    with pytest.raises(HarnessError, match="one class only"):
        corrupted("biased_split", data("moons", test=0.5), {"by": "class"})


@given(n=st.integers(30, 96), more=st.integers(0, 50))
@settings(deadline=None, max_examples=25, derandomize=True)
def test_fraction_is_a_subset_of_every_larger_one(n, more):
    clean = data("iris")
    n = min(n, len(clean.train))
    small = corrupted("fraction", clean, {"n": n})
    large = corrupted("fraction", clean, {"n": min(n + more, len(clean.train))})
    assert len(small.train) == n
    assert set(map(str, rows(small.train))) <= set(map(str, rows(large.train)))
    assert small.test is clean.test


def test_fraction_can_be_a_share():
    clean = data("digits")
    assert len(corrupted("fraction", clean, {"share": 0.1}).train) == round(0.1 * len(clean.train))
    assert torch.equal(corrupted("fraction", clean, {"share": 1.0}).train.x, clean.train.x)
    with pytest.raises(HarnessError, match=r"fraction\.n=99999, and there are"):
        corrupted("fraction", clean, {"n": 99999})
    with pytest.raises(HarnessError, match="fraction leaves one class only"):
        corrupted("fraction", clean, {"n": 1})


NAMES = [row["name"] for row in catalogue.current() if row["kind"] == "corruption"]
DRAWING = [name for name in NAMES if "generator" in catalogue.current().get("corruption", name)["asks"]]


@pytest.mark.parametrize("name", DRAWING)
def test_corruption_depends_on_the_split_seed_and_keeps_the_clean_data(name):
    clean = data("digits")
    before = digest(clean)
    options = {"pixels": 1} if name == "shifted" else {}
    digests = [digest(corrupted(name, clean, options, seed)) for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]
    assert before not in digests
    assert digest(clean) == before


@pytest.mark.parametrize("name", [name for name in NAMES if name != "permuted_pixels"])
def test_corruption_of_samples_refuses_data_not_in_memory(name):
    streamed = torch.utils.data.TensorDataset(torch.zeros(4, 1), torch.zeros(4))
    dataset = Dataset(streamed, streamed, streamed, target="class", classes=("a", "b"), digest="feed")
    with pytest.raises(HarnessError, match=f"{name} requires data in memory"):
        corrupted(name, dataset)


def test_permuted_pixels_apply_to_data_not_in_memory():
    part = data("digits").train
    streamed = torch.utils.data.TensorDataset(part.x, part.y)
    dataset = Dataset(streamed, streamed, streamed, target="class", classes=data("digits").classes, digest="feed")
    (function,) = corrupted("permuted_pixels", dataset).transforms
    assert torch.equal(function(part.x), corrupted("permuted_pixels", data("digits")).train.x)


def unseen(dataset, seed=0, **given):
    return make("corruption", "unseen_classes", given, dataset=dataset, generator=generator(seed, "corruption"))


def classes_of(dataset):
    return [set(dataset.part(split).y.tolist()) for split in SPLITS]


def all_rows(dataset):
    return sorted(row for split in SPLITS for row in rows(dataset.part(split)))


@pytest.mark.parametrize("seed", range(3))
def test_unseen_classes_are_in_one_split_only(seed):
    clean = data("digits")
    dataset = unseen(clean, seed, val=3, test=3)
    train, val, test = classes_of(dataset)
    assert [len(train), len(val), len(test)] == [4, 3, 3]
    assert train | val | test == set(range(10))
    assert all_rows(dataset) == all_rows(clean)
    assert overlap(dataset) == 0
    assert [len(c) for c in classes_of(unseen(clean, seed))] == [6, 2, 2]  # of 0.64, 0.16 and 0.2


def test_validation_may_have_the_training_classes():
    clean = data("digits")
    dataset = unseen(clean, val=0, test=4)
    train, val, test = classes_of(dataset)
    assert train == val == set(range(10)) - test
    assert len(test) == 4
    kept = ~torch.isin(clean.val.y, torch.tensor(sorted(test)))
    assert torch.equal(dataset.val.x, clean.val.x[kept])
    assert all_rows(dataset) == all_rows(clean)


def test_unseen_classes_are_drawn_at_random():
    chosen = {tuple(sorted(classes_of(unseen(data("digits"), seed, test=2))[2])) for seed in range(8)}
    assert len(chosen) > 4


def test_at_least_two_training_classes_remain():
    with pytest.raises(HarnessError, match="takes 1 classes for validation and 1 for the test, and of 3 that leaves 1"):
        unseen(data("iris"), val=1, test=1)
