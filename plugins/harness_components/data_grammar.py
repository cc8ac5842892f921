"""A toy language, small enough to know which words mean alike."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge
from torch import Generator

import harness
from harness.dataset import Dataset, Samples, divide
from harness.settings import Split
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
    Indices are no numbers to scale: choose 'transform=[]', or 'transform=[one_hot]' for a model that wants numbers.
    """
    rng = np.random.default_rng(generator.initial_seed())
    spoken = sentences(n, features, rng)
    parts: dict[str, Any] = {}
    for name, chosen in divide(n, split, generator).items():
        pairs = [
            (centre, context)
            for sentence in (spoken[int(i)] for i in chosen)
            for at, centre in enumerate(sentence)
            for context in sentence[max(0, at - window) : at] + sentence[at + 1 : at + 1 + window]
        ]
        table = torch.tensor(pairs)
        parts[name] = Samples(table[:, :1].contiguous(), table[:, 1].contiguous())
    return Dataset(**parts, target="class", classes=WORDS, repeats=True)
