"""Multi-label data."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt
from torch import Generator

import harness
from harness import Dataset, Split, from_arrays
from harness.space import Integers


@harness.data(
    reads=(), reference="Tsoumakas, Katakis, Multi-label classification: an overview, 2007 (what such data is)"
)
def topics(
    split: Split,
    generator: Generator,
    *,
    n: Annotated[int, Integers(100, 10_000, log=True), Ge(10), "number of documents"] = 1000,
    words: Annotated[int, Integers(5, 200, log=True), Ge(1), "words in the vocabulary"] = 20,
    labels: Annotated[int, Integers(2, 20), Ge(1), "number of topics"] = 5,
    mean: Annotated[int, Integers(1, 4), Gt(0), "mean number of topics in a document, limited by `labels`"] = 2,
) -> Dataset:
    """Synthetic documents with several topics each, as word counts of about 50 words in all.

    The number of topics is Poisson distributed; each word is drawn from one of the document's topics. Inputs `[words]`;
    targets `[labels]` of 0 and 1.

    >>> data = topics(Split(), Generator(), n=100)
    >>> data.inputs, data.classes
    ((20,), ('topic0', 'topic1', 'topic2', 'topic3', 'topic4'))
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
