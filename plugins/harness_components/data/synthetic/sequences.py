"""Sequences whose class hangs on what stands where: order, memory, counting. Inputs [T, C], steps first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Generator

import harness
from harness import Dataset, HarnessError, Samples, Split, from_arrays, size
from harness.space import Choice, Integers, Uniform

N = Annotated[int, Integers(100, 10_000, log=True), Ge(10), "samples"]
Length = Annotated[int, Integers(12, 100, log=True), Ge(2), "steps of a sequence, T"]
TestLength = Annotated[int, Ge(0), "steps of the test sequences, for a model that takes any length; 0: as many"]
Noise = Annotated[float, Uniform(0, 0.5), Ge(0), "deviation of the noise on each number"]
Draw = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]]  # (rng, n, length) -> x [n, T, C], y


def _sequences(
    draw: Draw, n: int, length: int, test_length: int, classes: Sequence[object], split: Split, generator: Generator
) -> Dataset:
    """n sequences of one length, divided; those of the test are drawn anew where they are to be of another length."""
    rng = np.random.default_rng(generator.initial_seed())
    dataset = from_arrays(*draw(rng, n, length), split, generator, target="class", classes=classes)
    if test_length in (0, length):
        return dataset
    x, y = draw(rng, size(dataset.test), test_length)
    assert isinstance(dataset.train, Samples)
    return replace(dataset, test=Samples(torch.as_tensor(x, dtype=dataset.train.x.dtype), torch.as_tensor(y).long()))


def _one_hot(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    return np.eye(vocabulary, dtype=np.float32)[tokens]


def _wants(name: str, length: int, test_length: int, least: int, why: str) -> None:
    short = min(length, test_length or length)
    if short < least:
        key = "length" if length < least else "test_length"
        raise HarnessError(f"data.{key}={short} is too short: {name} wants {least} steps or more, {why}")


@harness.data(reference="Hochreiter, Schmidhuber, Long short-term memory, Neural Computation 1997, experiment 6")
def order(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Length = 20,
    vocabulary: Annotated[int, Integers(4, 20), Ge(3), "different tokens: two markers, the others fill"] = 8,
    test_length: TestLength = 0,
) -> Dataset:
    """Which of two markers comes first, among tokens that mean nothing: bags of words are alike in both classes.

    Each sequence holds the tokens 0 and 1 once each, at places drawn by chance, and the others anywhere else.
    Inputs [T, vocabulary], one-hot; class 0 where 0 stands before 1.
    """
    _wants("order", length, test_length, 2, "one a marker")

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = rng.integers(2, vocabulary, (n, length))
        y = np.arange(n) % 2
        places = np.sort(np.argsort(rng.random((n, length)), axis=1)[:, :2], axis=1)  # two different ones
        rows = np.arange(n)
        tokens[rows, places[:, 0]] = y
        tokens[rows, places[:, 1]] = 1 - y
        return _one_hot(tokens, vocabulary), y

    return _sequences(draw, n, length, test_length, ("first before second", "second before first"), split, generator)


@harness.data(reference="Jaeger, Short term memory in echo state networks, GMD report 152, 2002")
def delay(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Length = 20,
    steps: Annotated[int, Integers(0, 11), Ge(0), "how far back the token stands that is asked for"] = 10,
    vocabulary: Annotated[int, Integers(2, 10), Ge(2), "different tokens, each a class"] = 4,
    test_length: TestLength = 0,
) -> Dataset:
    """Which token came some steps before the last one: what a state must carry through all that follows.

    Tokens are drawn evenly; y = token[T - 1 - steps].  Inputs [T, vocabulary], one-hot.
    """
    _wants("delay", length, test_length, steps + 1, f"to look {steps} back")

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = rng.integers(0, vocabulary, (n, length))
        tokens[:, length - 1 - steps] = np.arange(n) % vocabulary
        return _one_hot(tokens, vocabulary), tokens[:, length - 1 - steps]

    return _sequences(draw, n, length, test_length, range(vocabulary), split, generator)


@harness.data(reference="Minsky, Papert, Perceptrons, 1969")
def parity(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Annotated[int, Integers(2, 32, log=True), Ge(1), "steps of a sequence, T"] = 10,
    noise: Noise = 0.1,
    test_length: TestLength = 0,
) -> Dataset:
    """Whether a sequence of signs has an odd number of minuses: every step matters, and each alone tells nothing.

    x = s + noise · ε  with s even over {-1, 1}ᵀ;  y = [Π s < 0].  Inputs [T, 1].  There are 2ᵀ sequences of signs: with
    more samples than that, the noise alone tells some of them apart.
    """

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        signs = 2.0 * rng.integers(0, 2, (n, length)) - 1
        y = np.arange(n) % 2
        signs[:, 0] *= np.where((signs.prod(1) < 0) == y, 1, -1)  # half of the samples each, and still even
        return (signs + noise * rng.standard_normal((n, length)))[..., None], y

    return _sequences(draw, n, length, test_length, ("even", "odd"), split, generator)


@harness.data
def majority(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Annotated[int, Choice(11, 21, 41, 81), Ge(1), "steps of a sequence, T"] = 21,
    noise: Noise = 0.1,
    test_length: TestLength = 0,
) -> Dataset:
    """Which of two signs stands more often in a sequence: all steps count alike, and their order not at all.

    x = s + noise · ε  with s from {-1, 1}ᵀ;  y = [Σ s < 0].  Inputs [T, 1].  In sequences of an even length, one sign
    of a tie is turned.
    """

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        signs = 2.0 * rng.integers(0, 2, (n, length)) - 1
        tied = signs.sum(1) == 0
        signs[tied, rng.integers(0, length, n)[tied]] *= -1
        y = np.arange(n) % 2
        signs *= np.where((signs.sum(1) < 0) == y, 1, -1)[:, None]  # half of the samples each
        return (signs + noise * rng.standard_normal((n, length)))[..., None], y

    return _sequences(draw, n, length, test_length, ("plus", "minus"), split, generator)
