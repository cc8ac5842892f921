"""Tests of loading a data set."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from harness.config.composition import compose
from harness.datasets.loading import load

LINE = ["data=digits", "model=mlp"]


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def loaded(words: list[str], count: int) -> tuple[str, list[Tensor]]:
    """Return the digest of a data set, and its inputs, as loaded by a process with so many threads."""
    torch.set_num_threads(count)
    data = load(compose([*LINE, *words]).values)
    assert torch.get_num_threads() == count
    return data.digest, [data.dataset.part(split).x for split in ("train", "val", "test")]


@pytest.mark.parametrize("words", [["corruption=[noisy_inputs]"], ["transform=[standardize]"], ["transform=[whiten]"]])
def test_data_have_the_same_bits_with_any_number_of_threads(words: list[str], threads: None) -> None:
    """A sweep's launcher has more threads than its workers, and several machines have different numbers of cores."""
    digest, parts = loaded(words, 1)
    for count in (2, 4):
        other, again = loaded(words, count)
        assert other == digest
        assert all(torch.equal(a, b) for a, b in zip(parts, again, strict=True))
