"""A toy language with known analogies between its words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Generator

import harness
from harness import Dataset, Samples, Split, divide
from harness.space import Integers

Feature = Literal["royal", "female", "young"]

# {noun: its features}: persons are the corners of a cube, and those that differ in one feature share an edge
PERSONS = {
    "man": (), "woman": ("female",), "boy": ("young",), "girl": ("female", "young"),
    "king": ("royal",), "queen": ("royal", "female"), "prince": ("royal", "young"),
    "princess": ("royal", "female", "young"),
}  # fmt: skip
# {feature: (words of a person without it, words of a person with it)}
SAID = {
    "royal": (("works", "market", "street"), ("rules", "castle", "crown")),
    "female": (("he", "his", "him"), ("she", "hers", "her")),
    "young": (("old", "tall", "calm"), ("small", "plays", "school")),
}
THINGS = {"car": ("drives", "wheels", "road"), "apple": ("sweet", "tree", "eaten")}
SAID_OF_ALL = ("the", "a")
WORDS = (
    *PERSONS, *THINGS, *SAID_OF_ALL,
    *(word for pair in SAID.values() for words in pair for word in words),
    *(word for words in THINGS.values() for word in words),
)  # fmt: skip


def analogies() -> tuple[tuple[int, int, int, int], ...]:
    """Return indices (a, b, c, d) of persons with a - b + c = d: a and d differ from b and c in one feature alone."""
    place = {word: index for index, word in enumerate(WORDS)}
    noun_of = {frozenset(features): place[noun] for noun, features in PERSONS.items()}
    tuples = []
    for feature in SAID:
        edges = [(noun_of[others | {feature}], noun_of[others]) for others in noun_of if feature not in others]
        for (a, b), (d, c) in permutations(edges, 2):
            tuples += [(a, b, c, d), (b, a, d, c)]
    return tuple(tuples)


def pairs(sentence: Sequence[int], window: int) -> list[tuple[int, int]]:
    """Return every word of a sentence with each word at most `window` places before or after it.

    >>> pairs([7, 8, 9], 1)
    [(7, 8), (8, 7), (8, 9), (9, 8)]
    """
    return [
        (centre, context)
        for at, centre in enumerate(sentence)
        for context in [*sentence[max(0, at - window) : at], *sentence[at + 1 : at + 1 + window]]
    ]


def sentences(n: int, features: tuple[str, ...], rng: np.random.Generator) -> list[list[int]]:
    """Draw n sentences of word indices, each about one person or thing, with a word for each feature in `features`."""
    place = {word: index for index, word in enumerate(WORDS)}
    nouns = [*PERSONS, *THINGS]
    sampled = []
    for index in range(n):
        noun = nouns[index % len(nouns)]
        if noun in PERSONS:
            choices = [SAID[feature][feature in PERSONS[noun]] for feature in features]
        else:
            choices = [THINGS[noun]] * max(1, len(features))
        words = [SAID_OF_ALL[rng.integers(2)], noun, *(options[rng.integers(len(options))] for options in choices)]
        sampled.append([place[words[i]] for i in rng.permutation(len(words))])
    return sampled


@harness.data(
    reads=(),
    reference="Mikolov, Yih, Zweig, Linguistic regularities in continuous space word representations, NAACL 2013",
)
def toy_grammar(
    split: Split,
    generator: Generator,
    *,
    n: Annotated[int, Integers(500, 5_000, log=True), Ge(10), "number of sentences"] = 2000,
    window: Annotated[int, Integers(1, 5), Ge(1), "largest distance of a context word, in words"] = 5,
    features: Annotated[tuple[Feature, ...], "features that the sentences mention"] = (
        "royal",
        "female",
        "young",
    ),
) -> Dataset:
    """Sentences of king, queen, man, woman, ... as pairs of a word and a word near it, to learn embeddings from.

    Each sentence is about one noun and holds, in random order, an article and a word for each of the noun's features. A
    noun's contexts are a sum over its features,

        p(c | noun) ∝ Σ_f p_f(c | noun has f or not)

    so that queen = king - man + woman holds exactly for these distributions. Inputs `[1]`, int64: index of the centre
    word in `classes`; class: index of the context word. The sentences are split, not the pairs, so that words occur in
    every split. With it come 72 analogies between persons for `metric=[analogy_accuracy]`.

    Use `transform=[]`, because indices have no scale, or `transform=[one_hot]` for models of real inputs.

    >>> data = toy_grammar(Split(), Generator(), n=100)
    >>> data.inputs, data.classes[:4]
    ((1,), ('man', 'woman', 'boy', 'girl'))
    """
    rng = np.random.default_rng(generator.initial_seed())
    sampled = sentences(n, features, rng)
    parts: dict[str, Any] = {}
    for name, chosen in divide(n, split, generator).items():
        table = torch.tensor([pair for i in chosen for pair in pairs(sampled[int(i)], window)])
        parts[name] = Samples(table[:, :1].contiguous(), table[:, 1].contiguous())
    return Dataset(**parts, target="class", classes=WORDS, vocabulary=WORDS, analogies=analogies(), repeats=True)
