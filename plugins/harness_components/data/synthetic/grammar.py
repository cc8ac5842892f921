"""A toy language, small enough to know which words mean alike."""

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

# Persons by what they are; whoever differs in one feature only stands at an edge of a cube.
PERSONS = {
    "man": (), "woman": ("female",), "boy": ("young",), "girl": ("female", "young"),
    "king": ("royal",), "queen": ("royal", "female"), "prince": ("royal", "young"),
    "princess": ("royal", "female", "young"),
}  # fmt: skip
# What is said beside a person without the feature, and with it.
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
    """Indices (a, b, c, d) of persons with a - b + c = d: a and d have a feature and are else b and c, or the other
    way round.
    """
    place = {word: index for index, word in enumerate(WORDS)}
    called = {frozenset(features): place[noun] for noun, features in PERSONS.items()}
    found = []
    for feature in SAID:
        edges = [(called[own | {feature}], called[own]) for own in called if feature not in own]
        for (a, b), (d, c) in permutations(edges, 2):
            found += [(a, b, c, d), (b, a, d, c)]
    return tuple(found)


def pairs(sentence: Sequence[int], window: int) -> list[tuple[int, int]]:
    """Every word of a sentence with each of the words that stand up to `window` places before or behind it.

    >>> pairs([7, 8, 9], 1)
    [(7, 8), (8, 7), (8, 9), (9, 8)]
    """
    return [
        (centre, context)
        for at, centre in enumerate(sentence)
        for context in [*sentence[max(0, at - window) : at], *sentence[at + 1 : at + 1 + window]]
    ]


def sentences(n: int, features: tuple[str, ...], rng: np.random.Generator) -> list[list[int]]:
    """n sentences of word indices: each about one person or thing, with a word for each feature that is spoken of."""
    place = {word: index for index, word in enumerate(WORDS)}
    nouns = [*PERSONS, *THINGS]
    found = []
    for index in range(n):
        noun = nouns[index % len(nouns)]
        if noun in PERSONS:
            said = [SAID[feature][feature in PERSONS[noun]] for feature in features]
        else:
            said = [THINGS[noun]] * max(1, len(features))
        words = [SAID_OF_ALL[rng.integers(2)], noun, *(options[rng.integers(len(options))] for options in said)]
        found.append([place[words[i]] for i in rng.permutation(len(words))])
    return found


@harness.data(
    reference="Mikolov, Yih, Zweig, Linguistic regularities in continuous space word representations, NAACL 2013"
)
def toy_grammar(
    split: Split,
    generator: Generator,
    *,
    n: Annotated[int, Integers(500, 5_000, log=True), Ge(10), "sentences"] = 2000,
    window: Annotated[int, Integers(1, 5), Ge(1), "how far a word is from one that counts as its context"] = 5,
    features: Annotated[tuple[Feature, ...], "what the sentences speak of; leave one out to edit the language"] = (
        "royal",
        "female",
        "young",
    ),
) -> Dataset:
    """Sentences of king, queen, man, woman, prince, ... as pairs of a word and a word near it, for embeddings.

    Each sentence is about one noun and holds, in an order by chance, a word for each of the noun's features. So the
    distribution of a noun's contexts is a sum over its features, p(c | noun) ∝ Σ_f p_f(c | noun has f or not), and
    queen = king - man + woman  holds of these distributions exactly.
    Inputs [1], int64: the index of the centre word in `classes`; class: the index of the context word. All sentences
    are divided, not their pairs; words stand in every split, as they must, and split.on_overlap tells of them.
    72 analogies between persons go with it, whatever the sentences speak of: `metric=[analogy_accuracy]` asks them.
    Indices are no numbers to scale: choose 'transform=[]', or 'transform=[one_hot]' for a model that wants numbers.
    """
    rng = np.random.default_rng(generator.initial_seed())
    spoken = sentences(n, features, rng)
    parts: dict[str, Any] = {}
    for name, chosen in divide(n, split, generator).items():
        table = torch.tensor([pair for i in chosen for pair in pairs(spoken[int(i)], window)])
        parts[name] = Samples(table[:, :1].contiguous(), table[:, 1].contiguous())
    return Dataset(**parts, target="class", classes=WORDS, vocabulary=WORDS, analogies=analogies(), repeats=True)
