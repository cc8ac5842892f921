import pytest
import scipy.stats
import torch

from harness.dataset import Dataset, Samples
from harness.errors import HarnessError
from harness.seeds import generator
from tests.components.helpers import data, make


def noisy(dataset, p, seed=0):
    return make("corruption", "label_noise", {"p": p}, dataset=dataset, generator=generator(seed, "corruption"))


@pytest.mark.parametrize("p", [0.0, 0.05, 0.333, 1.0])
def test_exactly_the_share_asked_for_gets_another_class(p):
    clean = data("digits")
    dirty = noisy(clean, p)
    changed = dirty.train.y != clean.train.y
    assert changed.sum() == round(p * len(clean.train))
    assert dirty.train.y.min() >= 0
    assert dirty.train.y.max() < 10
    assert torch.equal(dirty.train.x, clean.train.x)
    assert dirty.val is clean.val
    assert dirty.test is clean.test


def test_the_clean_data_is_left_as_it_was():
    clean = data("iris")
    before = clean.train.y.clone()
    noisy(clean, 1.0)
    assert torch.equal(clean.train.y, before)


def test_each_of_the_other_classes_is_alike():
    n, classes = 9000, 10
    part = Samples(torch.zeros(n, 1), torch.full((n,), 4))
    clean = Dataset(part, part, part, target="class", classes=tuple("abcdefghij"))
    counts = noisy(clean, 1.0).train.y.bincount(minlength=classes)
    assert counts[4] == 0
    others = torch.cat([counts[:4], counts[5:]])
    assert scipy.stats.chisquare(others.numpy()).pvalue > 0.01


def test_the_fault_is_a_function_of_the_generator():
    clean = data("iris")
    assert torch.equal(noisy(clean, 0.4, 1).train.y, noisy(clean, 0.4, 1).train.y)
    assert not torch.equal(noisy(clean, 0.4, 1).train.y, noisy(clean, 0.4, 2).train.y)


def test_data_that_is_not_in_memory_is_refused():
    streamed = torch.utils.data.TensorDataset(torch.zeros(4, 1), torch.zeros(4))
    dataset = Dataset(streamed, streamed, streamed, target="class", classes=("a", "b"), digest="feed")
    with pytest.raises(HarnessError, match="in memory"):
        noisy(dataset, 0.2)
