import numpy as np
import pytest
import torch
from sklearn.datasets import make_multilabel_classification

from harness.config.seeds import generator
from harness.datasets.dataset import SPLITS
from harness.datasets.validation import validate
from tests.plugins.components.helpers import data, whole


def test_topics_are_scikit_learns_documents():
    state = generator(4, "split").initial_seed() % 2**32
    x, y = make_multilabel_classification(150, 12, n_classes=6, n_labels=3, random_state=state)
    dataset = data("topics", {"n": 150, "words": 12, "labels": 6, "mean": 3}, seed=4)
    validate(dataset, "topics")
    rows = np.hstack(whole(dataset))
    expected = np.hstack([x, y])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


@pytest.mark.parametrize("labels", [1, 3])
def test_document_has_any_number_of_topics(labels):
    dataset = data("topics", {"labels": labels})
    assert (dataset.target, dataset.width, len(dataset.classes)) == ("labels", labels, labels)
    y = torch.cat([dataset.part(split).y for split in SPLITS])
    assert y.dtype == torch.float32
    assert set(y.sum(1).tolist()) == set(range(labels + 1))
