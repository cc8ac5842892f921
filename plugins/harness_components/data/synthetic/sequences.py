"""Sequences whose class depends on order, memory or counting. Inputs [T, C], steps first."""

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

N = Annotated[int, Integers(100, 10_000, log=True), Ge(10), "number of samples"]
Length = Annotated[int, Integers(12, 100, log=True), Ge(2), "length T of a sequence, in steps"]
TestLength = Annotated[int, Ge(0), "length of the test sequences, for models that take any length; 0: as `length`"]
Noise = Annotated[float, Uniform(0, 0.5), Ge(0), "standard deviation of the noise on each number"]
Draw = Callable[[np.random.Generator, int, int], tuple[np.ndarray, np.ndarray]]  # (rng, n, length) -> x [n, T, C], y


def _sequences(
    draw: Draw, n: int, length: int, test_length: int, classes: Sequence[object], split: Split, generator: Generator
) -> Dataset:
    """Draw and split n sequences of one length; draw the test split anew where it has another length."""
    rng = np.random.default_rng(generator.initial_seed())
    dataset = from_arrays(*draw(rng, n, length), split, generator, target="class", classes=classes)
    if test_length in (0, length):
        return dataset
    x, y = draw(rng, size(dataset.test), test_length)
    assert isinstance(dataset.train, Samples)
    return replace(dataset, test=Samples(torch.as_tensor(x, dtype=dataset.train.x.dtype), torch.as_tensor(y).long()))


def _one_hot(tokens: np.ndarray, vocabulary: int) -> np.ndarray:
    return np.eye(vocabulary, dtype=np.float32)[tokens]


def _check_length(name: str, length: int, test_length: int, least: int, why: str) -> None:
    shortest = min(length, test_length or length)
    if shortest < least:
        key = "length" if length < least else "test_length"
        raise HarnessError(f"data.{key}={shortest} is too short: {name} needs {least} steps or more, {why}")


@harness.data(
    reads=(), reference="Hochreiter, Schmidhuber, Long short-term memory, Neural Computation 1997, experiment 6"
)
def order(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Length = 20,
    vocabulary: Annotated[int, Integers(4, 20), Ge(3), "number of tokens, two of them markers"] = 8,
    test_length: TestLength = 0,
) -> Dataset:
    """Order of two markers among random tokens: a bag of words is the same in both classes.

    Each sequence holds the tokens 0 and 1 once, at random places, and other tokens elsewhere. Class 0 where token 0
    comes first. Inputs `[T, vocabulary]`, one-hot.

    >>> data = order(Split(), Generator(), n=100, length=12)
    >>> data.inputs, data.classes
    ((12, 8), ('first before second', 'second before first'))
    """
    _check_length("order", length, test_length, 2, "one for each marker")

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = rng.integers(2, vocabulary, (n, length))
        y = np.arange(n) % 2
        places = np.sort(np.argsort(rng.random((n, length)), axis=1)[:, :2], axis=1)  # two different places
        rows = np.arange(n)
        tokens[rows, places[:, 0]] = y
        tokens[rows, places[:, 1]] = 1 - y
        return _one_hot(tokens, vocabulary), y

    return _sequences(draw, n, length, test_length, ("first before second", "second before first"), split, generator)


@harness.data(reads=(), reference="Jaeger, Short term memory in echo state networks, GMD report 152, 2002")
def delay(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Length = 20,
    steps: Annotated[int, Integers(0, 11), Ge(0), "delay d, in steps"] = 10,
    vocabulary: Annotated[int, Integers(2, 10), Ge(2), "number of tokens, each a class"] = 4,
    test_length: TestLength = 0,
) -> Dataset:
    """Recall the token that came `steps` before the last one: a state must carry it through all that follow.

    With uniform tokens and d = `steps`:

        y = token[T - 1 - d]

    Inputs `[T, vocabulary]`, one-hot.

    >>> data = delay(Split(), Generator(), n=100, length=12)
    >>> data.inputs, data.classes
    ((12, 4), ('0', '1', '2', '3'))
    """
    _check_length("delay", length, test_length, steps + 1, f"to look {steps} back")

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = rng.integers(0, vocabulary, (n, length))
        tokens[:, length - 1 - steps] = np.arange(n) % vocabulary
        return _one_hot(tokens, vocabulary), tokens[:, length - 1 - steps]

    return _sequences(draw, n, length, test_length, range(vocabulary), split, generator)


@harness.data(reads=(), reference="Minsky, Papert, Perceptrons, 1969")
def parity(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Annotated[int, Integers(2, 32, log=True), Ge(1), "length T of a sequence, in steps"] = 10,
    noise: Noise = 0.1,
    test_length: TestLength = 0,
) -> Dataset:
    """Parity of the signs of a sequence: every step matters, and no proper subset of the steps says anything.

    With s uniform in {-1, 1}ᵀ and ε ~ N(0, 1):

        x = s + noise · ε
        y = [Π s < 0]

    Inputs `[T, 1]`. There are 2ᵀ sequences of signs: beyond that number samples differ in their noise alone.

    >>> data = parity(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((10, 1), ('even', 'odd'))
    """

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        signs = 2.0 * rng.integers(0, 2, (n, length)) - 1
        y = np.arange(n) % 2
        signs[:, 0] *= np.where((signs.prod(1) < 0) == y, 1, -1)  # balances the classes, signs stay uniform
        return (signs + noise * rng.standard_normal((n, length)))[..., None], y

    return _sequences(draw, n, length, test_length, ("even", "odd"), split, generator)


@harness.data(reads=())
def majority(
    split: Split,
    generator: Generator,
    *,
    n: N = 1000,
    length: Annotated[int, Choice(11, 21, 41, 81), Ge(1), "length T of a sequence, in steps"] = 21,
    noise: Noise = 0.1,
    test_length: TestLength = 0,
) -> Dataset:
    """Majority of the signs of a sequence: all steps count equally, and their order does not matter.

    With s uniform in {-1, 1}ᵀ and ε ~ N(0, 1):

        x = s + noise · ε
        y = [Σ s < 0]

    Inputs `[T, 1]`. In sequences of even length one sign of a tie is flipped.

    >>> data = majority(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((21, 1), ('plus', 'minus'))
    """

    def draw(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
        signs = 2.0 * rng.integers(0, 2, (n, length)) - 1
        tied = signs.sum(1) == 0
        signs[tied, rng.integers(0, length, n)[tied]] *= -1
        y = np.arange(n) % 2
        signs *= np.where((signs.sum(1) < 0) == y, 1, -1)[:, None]  # balances the classes
        return (signs + noise * rng.standard_normal((n, length)))[..., None], y

    return _sequences(draw, n, length, test_length, ("plus", "minus"), split, generator)
