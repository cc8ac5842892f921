"""Data whose samples have any number of labels."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt
from torch import Generator

import harness
from harness import Dataset, Split, from_arrays
from harness.space import Integers


@harness.data(reference="Tsoumakas, Katakis, Multi-label classification: an overview, 2007 (what such data is)")
def topics(
    split: Split,
    generator: Generator,
    *,
    n: Annotated[int, Integers(100, 10_000, log=True), Ge(10), "documents"] = 1000,
    words: Annotated[int, Integers(5, 200, log=True), Ge(1), "in the vocabulary"] = 20,
    labels: Annotated[int, Integers(2, 20), Ge(1), "topics that there are"] = 5,
    mean: Annotated[int, Integers(1, 4), Gt(0), "topics of a document on average, where `labels` leaves room"] = 2,
) -> Dataset:
    """Drawn documents with several topics each: how often each word occurs, about 50 words in all.

    The number of topics is Poisson, each word is drawn from one of the document's topics. Inputs [words]; targets
    [labels] of 0 and 1.
    """
    from sklearn.datasets import make_multilabel_classification

    x, y = make_multilabel_classification(
        n_samples=n,
        n_features=words,
        n_classes=labels,
        n_labels=mean,
        random_state=np.random.RandomState(generator.initial_seed() % 2**32),
    )
    names = [f"topic{i}" for i in range(labels)]
    return from_arrays(x, y, split, generator, target="labels", classes=names)
