"""What a finished model looks like from inside, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn

from harness.execution.final_metrics import trained
from harness.execution.logging.images import matrix
from harness.execution.logging.model_visuals import (
    NUMBERS,
    filters,
    histogram,
    view_samples,
    visualize,
    weight_histograms,
)
from tests.training.helpers import cohort


def test_classes_are_told_from_the_model_s_own_predictions() -> None:
    (run,) = cohort([["epochs=2", "batch_size=100", "model=mlp", "model.width=20"]], fused=False)
    shown = visualize(run)
    model = trained(run)
    x, y = run.dataset.val.x, run.dataset.val.y  # type: ignore[union-attr]
    with torch.no_grad():
        said = model(x).double().softmax(1)
    counts = torch.from_numpy(confusion_matrix(y, said.argmax(1), labels=range(10)))
    assert torch.equal(shown.images["confusion_matrix"], matrix(counts))
    scores, truths = shown.pr_curves["3"]
    torch.testing.assert_close(scores, said[:, 3])
    assert torch.equal(truths, y == 3)
    vectors, labels, images = shown.embeddings["features"]
    assert labels == [str(int(c)) for c in y]
    assert images is not None
    assert len(images) == len(y)
    with torch.no_grad():  # the last layer makes the logits of these
        last = next(m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear))
        torch.testing.assert_close(last(vectors), model(x))
    wrong = (said.argmax(1) != y).nonzero()[:, 0]
    surest = max(wrong.tolist(), key=lambda i: said[i].max().item())
    line = f"| 1 | {y[surest]} | {said[surest].argmax()} | {said[surest].max():.3f} |"
    assert line in shown.texts["misclassified"].splitlines()


def test_one_logit_tells_of_the_second_class() -> None:
    (run,) = cohort([["epochs=1", "data=breast_cancer", "task=binary_classification"]], fused=False)
    shown = visualize(run)
    seen = view_samples(run, trained(run))
    (scores, truths) = shown.pr_curves[run.dataset.classes[1]]
    torch.testing.assert_close(scores, seen.prediction[:, 0].double().sigmoid())
    assert torch.equal(truths, seen.y == 1)
    said = (scores > 0.5).long()
    counts = torch.from_numpy(confusion_matrix(seen.y, said, labels=[0, 1]))
    assert torch.equal(shown.images["confusion_matrix"], matrix(counts))
    assert shown.images.keys() == {"confusion_matrix"}  # its samples are no images


@pytest.mark.parametrize("line", [["data=diabetes"], ["model=gan"], ["model=vae", "data=iris"]])
def test_without_classes_there_is_less(line: list[str]) -> None:
    (run,) = cohort([["epochs=1", "batch_size=90", *line]], fused=False)
    shown = visualize(run)
    assert not shown.pr_curves
    assert not shown.texts
    assert all(vectors.numel() <= NUMBERS for vectors, *_ in shown.embeddings.values())


def test_filters_are_those_of_a_first_layer_that_sees_images() -> None:
    assert filters(nn.Sequential(nn.Linear(12, 2)), (12,)) == {}
    assert filters(nn.Sequential(nn.Linear(5, 2)), (1, 3, 4)) == {}
    assert filters(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (1, 3, 4))["filters"].shape[0] == 3
    for channels in (1, 3, 5):
        made = filters(nn.Conv2d(channels, 4, 3), (channels, 8, 8))["filters"]
        assert made.shape == (3, 2 * 15 + 1, 2 * 15 + 1)
        assert 0 <= made.min() <= made.max() <= 1


@pytest.mark.parametrize("values", [torch.randn(1000), torch.arange(6.0).reshape(2, 3) * 1e30])
def test_a_histogram_is_numpys(values: Tensor) -> None:
    made = histogram(values)
    assert made is not None
    counts, edges = np.histogram(values.numpy(), bins=30)
    assert made[0].tolist() == counts.tolist()
    np.testing.assert_allclose(made[1].numpy(), edges, rtol=1e-5, atol=1e-6)


def test_a_histogram_of_one_value_of_none_and_of_what_is_not_finite() -> None:
    made = histogram(torch.zeros(7))
    assert made is not None
    (counts, (low, high)) = made
    assert counts.tolist() == [7]
    assert low < 0 < high
    assert histogram(torch.tensor([torch.nan, torch.inf])) is None
    parameters = {"a": torch.tensor([torch.nan]), "b": torch.tensor([1, 2]), "c": torch.ones(1)}
    assert weight_histograms(parameters).keys() == {"c"}
