import numpy as np
import pytest
import sklearn.metrics
import torch

from harness.training.vectorized.metric import StackedMetric
from tests.plugins.components.helpers import make

RNG = np.random.default_rng(0)
N, LABELS = 200, 4
TARGETS = torch.tensor(RNG.integers(0, 2, (N, LABELS)), dtype=torch.float32)
LOGITS = torch.tensor(RNG.normal(size=(N, LABELS)) + TARGETS.numpy(), dtype=torch.float32)
CASES = [
    ("binary_accuracy", {}, 1, lambda y, z: sklearn.metrics.accuracy_score(y, z > 0)),
    ("binary_accuracy", {}, LABELS, lambda y, z: 1 - sklearn.metrics.hamming_loss(y, z > 0)),
    ("binary_f1", {}, 1, lambda y, z: sklearn.metrics.f1_score(y, z > 0)),
    ("binary_auroc", {}, 1, sklearn.metrics.roc_auc_score),
    ("exact_match", {}, LABELS, lambda y, z: sklearn.metrics.accuracy_score(y, z > 0)),
    *(
        ("label_f1", {"average": a}, LABELS, lambda y, z, a=a: sklearn.metrics.f1_score(y, z > 0, average=a))
        for a in ("micro", "macro", "weighted")
    ),
]


@pytest.mark.parametrize("size", [N, 64, 1])
@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize(("name", "settings", "width", "reference"), CASES)
def test_metric_of_logits_is_scikit_learns(name, settings, width, reference, size, shift):
    # small logits must not be taken for probabilities, which single samples would often suggest
    logits, targets = LOGITS[:, :width] / 4 + shift, TARGETS[:, :width]
    expected = pytest.approx(reference(targets.numpy(), logits.numpy()), abs=1e-6)
    metric = make("metric", name, settings, num_classes=LABELS)
    for z, y in zip(logits.split(size), targets.split(size), strict=True):
        metric.update(z, y)
    assert metric.compute().item() == expected
    stacked = StackedMetric(lambda: make("metric", name, settings, num_classes=LABELS), 2, torch.device("cpu"))
    for z, y in zip(logits.split(64), targets.split(64), strict=True):
        stacked.update(torch.stack([-z, z]), torch.stack([y, y]))
    assert stacked.compute()[1] == expected


def test_auroc_keeps_the_order_of_confident_logits():
    logits = torch.tensor([[18.0], [19.0], [20.0], [21.0]])  # float32 rounds each sigmoid to 1
    metric = make("metric", "binary_auroc", num_classes=2)
    metric.update(logits, torch.tensor([[0.0], [0.0], [1.0], [1.0]]))
    assert metric.compute().item() == 1


@pytest.mark.parametrize("name", ["binary_accuracy", "binary_f1", "binary_auroc", "exact_match", "label_f1"])
def test_higher_is_better(name):
    width = LABELS if name in ("exact_match", "label_f1") else 1
    good, bad = (make("metric", name, num_classes=LABELS) for _ in range(2))
    good.update(TARGETS[:, :width] - 0.5, TARGETS[:, :width])
    bad.update(0.5 - TARGETS[:, :width], TARGETS[:, :width])
    assert good.higher_is_better is True
    assert (good.compute(), bad.compute()) == (1, 0)


def brier(y, z):
    return 2 * sklearn.metrics.brier_score_loss(y, 1 / (1 + np.exp(-z)))


OF_CLASSES = [
    ("accuracy", lambda y, z: sklearn.metrics.accuracy_score(y, z > 0)),
    ("f1", lambda y, z: sklearn.metrics.f1_score(y, z > 0, average="macro")),
    ("balanced_accuracy", lambda y, z: sklearn.metrics.balanced_accuracy_score(y, z > 0)),
    ("cross_entropy", lambda y, z: sklearn.metrics.log_loss(y, 1 / (1 + np.exp(-z)))),
    ("perplexity", lambda y, z: np.exp(sklearn.metrics.log_loss(y, 1 / (1 + np.exp(-z))))),
    ("brier", brier),
]


@pytest.mark.parametrize(("name", "reference"), OF_CLASSES)
def test_class_metric_accepts_one_logit_for_two_classes(name, reference):
    y, z = TARGETS[:, :1], LOGITS[:, :1]
    metric = make("metric", name, num_classes=2)
    for first in range(0, N, 64):
        metric.update(z[first : first + 64], y[first : first + 64])
    expected = reference(y[:, 0].numpy(), z[:, 0].double().numpy())
    assert metric.compute().item() == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", ["auroc", "calibration_error"])
def test_single_logit_is_measured_as_logits_of_both_classes(name):
    y, z = TARGETS[:, :1], LOGITS[:, :1]
    one, two = (make("metric", name, num_classes=2) for _ in range(2))
    one.update(z, y)
    two.update(torch.cat([torch.zeros_like(z), z], 1), y[:, 0].long())
    assert one.compute().item() == pytest.approx(two.compute().item(), rel=1e-9, abs=1e-12)
