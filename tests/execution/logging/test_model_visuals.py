"""Tests of visuals of a trained model, against scikit-learn and values by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor, nn

from harness.execution.final_measures import trained
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


def test_class_visuals_follow_the_models_predictions() -> None:
    (run,) = cohort([["epochs=2", "batch_size=100", "model=mlp", "model.width=20"]], fused=False)
    shown = visualize(run)
    model = trained(run)
    x, y = run.dataset.val.x, run.dataset.val.y  # type: ignore[union-attr]
    with torch.no_grad():
        probabilities = model(x).double().softmax(1)
    counts = torch.from_numpy(confusion_matrix(y, probabilities.argmax(1), labels=range(10)))
    assert torch.equal(shown.images["confusion_matrix"], matrix(counts))
    scores, truths = shown.pr_curves["3"]
    torch.testing.assert_close(scores, probabilities[:, 3])
    assert torch.equal(truths, y == 3)
    vectors, labels, images = shown.embeddings["features"]
    assert labels == [str(int(c)) for c in y]
    assert images is not None
    assert len(images) == len(y)
    with torch.no_grad():  # the last layer computes the logits from these
        last = next(m for m in reversed(list(model.modules())) if isinstance(m, nn.Linear))
        torch.testing.assert_close(last(vectors), model(x))
    wrong = (probabilities.argmax(1) != y).nonzero()[:, 0]
    surest = max(wrong.tolist(), key=lambda i: probabilities[i].max().item())
    line = f"| 1 | {y[surest]} | {probabilities[surest].argmax()} | {probabilities[surest].max():.3f} |"
    assert line in shown.texts["misclassified"].splitlines()


def test_single_logit_is_shown_as_the_second_class() -> None:
    (run,) = cohort([["epochs=1", "data=breast_cancer", "task=binary_classification"]], fused=False)
    shown = visualize(run)
    seen = view_samples(run, trained(run))
    (scores, truths) = shown.pr_curves[run.dataset.classes[1]]
    torch.testing.assert_close(scores, seen.prediction[:, 0].double().sigmoid())
    assert torch.equal(truths, seen.y == 1)
    predicted = (scores > 0.5).long()
    counts = torch.from_numpy(confusion_matrix(seen.y, predicted, labels=[0, 1]))
    assert torch.equal(shown.images["confusion_matrix"], matrix(counts))
    assert shown.images.keys() == {"confusion_matrix"}  # the samples are no images


@pytest.mark.parametrize("line", [["data=diabetes"], ["model=gan"], ["model=vae", "data=iris"]])
def test_models_without_classes_have_fewer_visuals(line: list[str]) -> None:
    (run,) = cohort([["epochs=1", "batch_size=90", *line]], fused=False)
    shown = visualize(run)
    assert not shown.pr_curves
    assert not shown.texts
    assert all(vectors.numel() <= NUMBERS for vectors, *_ in shown.embeddings.values())


def test_filters_are_shown_for_first_layers_on_images() -> None:
    assert filters(nn.Sequential(nn.Linear(12, 2)), (12,)) == {}
    assert filters(nn.Sequential(nn.Linear(5, 2)), (1, 3, 4)) == {}
    assert filters(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (1, 3, 4))["filters"].shape[0] == 3
    for channels in (1, 3, 5):
        image = filters(nn.Conv2d(channels, 4, 3), (channels, 8, 8))["filters"]
        assert image.shape == (3, 2 * 15 + 1, 2 * 15 + 1)
        assert 0 <= image.min() <= image.max() <= 1


@pytest.mark.parametrize("values", [torch.randn(1000), torch.arange(6.0).reshape(2, 3) * 1e30])
def test_histogram_is_numpys(values: Tensor) -> None:
    result = histogram(values)
    assert result is not None
    counts, edges = np.histogram(values.numpy(), bins=30)
    assert result[0].tolist() == counts.tolist()
    np.testing.assert_allclose(result[1].numpy(), edges, rtol=1e-5, atol=1e-6)


def test_histogram_of_constant_empty_or_nonfinite_values() -> None:
    result = histogram(torch.zeros(7))
    assert result is not None
    (counts, (low, high)) = result
    assert counts.tolist() == [7]
    assert low < 0 < high
    assert histogram(torch.tensor([torch.nan, torch.inf])) is None
    parameters = {"a": torch.tensor([torch.nan]), "b": torch.tensor([1, 2]), "c": torch.ones(1)}
    assert weight_histograms(parameters).keys() == {"c"}
