import pickle

import numpy as np
import pytest
import sklearn.metrics
import torch

from tests.components.helpers import make

RNG = np.random.default_rng(0)
N, CLASSES = 200, 5
LOGITS = torch.tensor(RNG.normal(size=(N, CLASSES)), dtype=torch.float32)
TARGETS = torch.tensor(RNG.choice(CLASSES, N, p=[0.4, 0.3, 0.15, 0.1, 0.05]))
REAL = torch.tensor(RNG.normal(size=(N, 3)), dtype=torch.float32)
CASES = [
    ("accuracy", {}, sklearn.metrics.accuracy_score),
    ("accuracy", {"average": "macro"}, sklearn.metrics.balanced_accuracy_score),
    ("accuracy", {"average": "weighted"}, sklearn.metrics.accuracy_score),
    *(
        ("f1", {"average": a}, lambda y, p, a=a: sklearn.metrics.f1_score(y, p, average=a))
        for a in ("micro", "macro", "weighted")
    ),
    ("f1", {}, lambda y, p: sklearn.metrics.f1_score(y, p, average="macro")),
]


def fed(metric, prediction, target, size):
    for p, y in zip(prediction.split(size), target.split(size), strict=True):
        metric.update(p, y)
    return metric


@pytest.mark.parametrize("size", [N, 64, 1])
@pytest.mark.parametrize(("name", "settings", "reference"), CASES)
def test_classification(name, settings, reference, size):
    metric = fed(make("metric", name, settings, num_classes=CLASSES), LOGITS, TARGETS, size)
    expected = reference(TARGETS.numpy(), LOGITS.argmax(1).numpy())
    assert metric.compute().item() == pytest.approx(expected, abs=1e-6)
    metric.reset()
    assert fed(metric, LOGITS[:160], TARGETS[:160], size).compute().item() == pytest.approx(
        reference(TARGETS[:160].numpy(), LOGITS[:160].argmax(1).numpy()), abs=1e-6
    )


@pytest.mark.parametrize("size", [N, 64, 1])
def test_mse(size):
    metric = fed(make("metric", "mse", num_classes=None), REAL, REAL.flip(0), size)
    expected = sklearn.metrics.mean_squared_error(REAL.flip(0).numpy(), REAL.numpy())
    assert metric.compute().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("name", "better"), [("accuracy", True), ("f1", True), ("mse", False)])
def test_the_direction_is_true(name, better):
    good, bad = (make("metric", name, num_classes=CLASSES) for _ in range(2))
    right = REAL if name == "mse" else torch.nn.functional.one_hot(TARGETS, CLASSES).float()
    target = REAL if name == "mse" else TARGETS
    good.update(right, target)
    bad.update(right.flip(0), target)
    assert good.higher_is_better is better
    assert (good.compute() > bad.compute()).item() is better


def test_a_metric_survives_pickling_with_what_it_saw():
    metric = make("metric", "accuracy", num_classes=CLASSES)
    metric.update(LOGITS[:90], TARGETS[:90])
    copy = pickle.loads(pickle.dumps(metric))
    copy.update(LOGITS[90:], TARGETS[90:])
    assert copy.compute().item() == pytest.approx((LOGITS.argmax(1) == TARGETS).double().mean().item())
