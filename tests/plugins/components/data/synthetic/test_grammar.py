import numpy as np
import pytest
import torch

from harness.datasets.dataset import SPLITS
from harness.datasets.validation import validate
from harness.system.errors import HarnessError
from harness_components.data.synthetic.grammar import PERSONS, SAID, THINGS, WORDS, analogies, pairs, sentences
from tests.plugins.components.helpers import data, make


def contexts(dataset):
    """Return {word: the distribution of its context words} over all splits."""
    counts = np.zeros((len(WORDS), len(WORDS)))
    for split in SPLITS:
        part = dataset.part(split)
        np.add.at(counts, (part.x[:, 0].numpy(), part.y.numpy()), 1)
    return {word: row / max(1, row.sum()) for word, row in zip(WORDS, counts, strict=True)}


def nearest(vector, vectors, among, but):
    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    return max((word for word in among if word not in but), key=lambda word: cosine(vector, vectors[word]))


def test_pairs_are_words_within_the_window():
    dataset = data("toy_grammar", {"n": 500})
    validate(dataset, "toy_grammar")
    assert dataset.classes == WORDS
    assert len(set(WORDS)) == len(WORDS)
    assert dataset.inputs == (1,)
    assert dataset.train.x.dtype == torch.int64
    assert len(dataset.test) == 100 * 5 * 4  # sentences of 5 words, each with the 4 others
    assert len(data("toy_grammar", {"n": 500, "window": 1}).test) == 100 * 4 * 2


def test_sentence_states_the_features_of_a_person():
    rng = np.random.default_rng(0)
    for sentence in sentences(200, ("royal", "female", "young"), rng):
        words = {WORDS[i] for i in sentence}
        assert len(sentence) == 5
        (noun,) = words & {*PERSONS, *THINGS}
        if noun in THINGS:
            assert len(words & set(THINGS[noun])) >= 1
            continue
        for feature, options in SAID.items():
            assert len(words & set(options[feature in PERSONS[noun]])) == 1
            assert not words & set(options[feature not in PERSONS[noun]])


def test_pairs_are_limited_by_the_window():
    assert pairs([5, 6, 7, 8], 1) == [(5, 6), (6, 5), (6, 7), (7, 6), (7, 8), (8, 7)]
    assert pairs([5, 6, 7, 8], 2) == [
        (5, 6), (5, 7), (6, 5), (6, 7), (6, 8), (7, 5), (7, 6), (7, 8), (8, 6), (8, 7)
    ]  # fmt: skip
    assert sorted(pairs([5, 6, 7], 9)) == [(5, 6), (5, 7), (6, 5), (6, 7), (7, 5), (7, 6)]
    assert pairs([5], 3) == []


def test_analogies_hold_for_the_contexts_of_words():
    dataset = data("toy_grammar", {"n": 5000})
    p = contexts(dataset)
    assert dataset.analogies == analogies()
    assert len(set(analogies())) == 3 * 2 * 4 * 3  # features, directions, pairs that differ in it, other such pairs
    words = [tuple(WORDS[i] for i in analogy) for analogy in analogies()]
    assert {("king", "man", "woman", "queen"), ("prince", "boy", "girl", "princess")} < set(words)
    for a, b, c, answer in words:
        assert nearest(p[a] - p[b] + p[c], p, {*PERSONS, *THINGS}, {a, b, c}) == answer


def test_word_distances_depend_on_the_chosen_features():
    whole, edited = (
        contexts(data("toy_grammar", {"n": 5000, "features": features}))
        for features in (["royal", "female", "young"], ["royal", "young"])
    )

    def apart(p, a, b):
        return abs(p[a] - p[b]).sum() / 2

    assert apart(whole, "man", "woman") < apart(whole, "man", "car")
    assert apart(whole, "king", "queen") > 0.2
    assert apart(edited, "king", "queen") < 0.1  # no feature distinguishes them any more


def test_indices_cannot_be_scaled_but_can_be_one_hot():
    train = data("toy_grammar", {"n": 100}).train.x
    for name in ("standardize", "min_max", "robust", "whiten"):
        with pytest.raises(HarnessError, match="the inputs are indices"):
            make("transform", name, train=train)
    encoded = make("transform", "one_hot", train=train)(train)
    assert encoded.dtype == torch.float32
    assert torch.equal(encoded, torch.nn.functional.one_hot(train[:, 0], len(WORDS)).float())
