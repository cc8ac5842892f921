import functools
import math
import pickle

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
import torch
from torchmetrics.classification import MulticlassAUROC, MulticlassCalibrationError

from harness.training.vectorized.metric import StackedMetric
from tests.plugins.components.helpers import make
from tests.training.helpers import train

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
    metric = fed(make("metric", "mse", task="regression"), REAL, REAL.flip(0), size)
    expected = sklearn.metrics.mean_squared_error(REAL.flip(0).numpy(), REAL.numpy())
    assert metric.compute().item() == pytest.approx(expected, rel=1e-5)


P = scipy.special.softmax(LOGITS.double().numpy(), axis=1)
SURE = LOGITS * 5  # most probabilities next to 0 or 1


def measured(name, prediction, target, size=64, **settings):
    return fed(make("metric", name, settings, num_classes=CLASSES), prediction, target, size).compute().item()


@pytest.mark.parametrize("size", [N, 64, 1])
@pytest.mark.parametrize(
    ("name", "reference"), [("mae", sklearn.metrics.mean_absolute_error), ("r2", sklearn.metrics.r2_score)]
)
def test_regression(name, reference, size):
    for target in (REAL.flip(0), REAL.flip(0) + 3000, REAL + 0.1 * REAL.flip(0)):
        found = measured(name, REAL, target, size)
        assert found == pytest.approx(reference(target.double().numpy(), REAL.double().numpy()), rel=1e-5, abs=1e-9)


def test_r2_of_constant_targets_is_scikit_learns():
    flat = torch.full((20, 2), 0.5)
    for prediction in (flat, flat + torch.tensor([0.0, 1.0])):
        assert measured("r2", prediction, flat) == sklearn.metrics.r2_score(flat.numpy(), prediction.numpy())
    assert measured("r2", flat[:1], flat[:1]) == 1


@pytest.mark.parametrize("size", [N, 64, 1])
def test_probabilities(size):
    y = TARGETS.numpy()
    assert measured("cross_entropy", LOGITS, TARGETS, size) == pytest.approx(sklearn.metrics.log_loss(y, P), rel=1e-9)
    expected = float(np.exp(sklearn.metrics.log_loss(y, P)))
    assert measured("perplexity", LOGITS, TARGETS, size) == pytest.approx(expected, rel=1e-9)
    expected = sklearn.metrics.brier_score_loss(y, P, labels=range(CLASSES), scale_by_half=False)
    assert measured("brier", LOGITS, TARGETS, size) == pytest.approx(expected, rel=1e-9)
    expected = sklearn.metrics.balanced_accuracy_score(y, P.argmax(1))
    assert measured("balanced_accuracy", LOGITS, TARGETS, size) == pytest.approx(expected, rel=1e-9)


def test_balanced_accuracy_leaves_out_classes_that_are_not_there():
    few = TARGETS < 3
    y, z = TARGETS[few], LOGITS[few]
    # scikit-learn would warn of the classes that are predicted and not there
    expected = sklearn.metrics.recall_score(y.numpy(), z.argmax(1).numpy(), labels=[0, 1, 2], average="macro")
    assert measured("balanced_accuracy", z, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("logits", [LOGITS, SURE], ids=["unsure", "sure"])
@pytest.mark.parametrize("bins", [1, 4, 15])
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_calibration_error_is_torchmetrics_and_numpys(norm, bins, logits):
    p = logits.double().softmax(1)
    theirs = MulticlassCalibrationError(CLASSES, bins, norm)
    theirs.update(p, TARGETS)
    found = measured("calibration_error", logits, TARGETS, bins=bins, norm=norm)
    assert found == pytest.approx(theirs.compute().item(), rel=1e-5)  # in float32
    best, right = p.max(1).values.numpy(), (p.argmax(1) == TARGETS).numpy()
    gaps, shares = [], []
    for low in np.arange(bins) / bins:
        inside = (best > low) & (best <= low + 1 / bins)
        gaps.append(abs(right[inside].mean() - best[inside].mean()) if inside.any() else 0.0)
        shares.append(inside.mean())
    expected = {"l1": np.dot(gaps, shares), "l2": np.sqrt(np.dot(np.square(gaps), shares)), "max": max(gaps)}
    assert found == pytest.approx(expected[norm], rel=1e-9)


@pytest.mark.parametrize(
    "logits", [LOGITS, SURE, LOGITS + 2 * torch.eye(CLASSES)[TARGETS]], ids=["unsure", "sure", "good"]
)
@pytest.mark.parametrize("average", ["macro", "weighted"])
@pytest.mark.parametrize("size", [N, 64, 1])
def test_auroc_is_scikit_learns_but_for_ties_within_a_bin(size, average, logits):
    p = logits.double().softmax(1).numpy()
    expected = sklearn.metrics.roc_auc_score(TARGETS.numpy(), p, multi_class="ovr", average=average)
    assert measured("auroc", logits, TARGETS, size, average=average) == pytest.approx(expected, abs=2e-3)
    assert measured("auroc", logits, TARGETS, N, average=average, bins=10**5) == pytest.approx(expected, abs=1e-4)


def test_auroc_of_what_is_in_few_bins_is_exact():
    logits = torch.round(LOGITS[:, :1]) * torch.tensor([[0.0, 1.0]])  # two classes: their difference is the logit
    y = (TARGETS > 0).long()
    expected = sklearn.metrics.roc_auc_score(y.numpy(), logits[:, 1].numpy())
    assert measured_of(2, logits, y) == pytest.approx(expected, rel=1e-9)


def measured_of(classes, logits, y):
    return fed(make("metric", "auroc", num_classes=classes), logits, y, 64).compute().item()


def test_auroc_of_the_sure_is_not_that_of_even_thresholds():
    theirs = MulticlassAUROC(CLASSES, thresholds=200)
    theirs.update(SURE.softmax(1), TARGETS)
    exact = sklearn.metrics.roc_auc_score(TARGETS.numpy(), SURE.double().softmax(1).numpy(), multi_class="ovr")
    assert abs(measured("auroc", SURE, TARGETS) - exact) < abs(theirs.compute().item() - exact) / 5


def test_auroc_leaves_out_classes_that_are_not_there_and_is_no_number_without_any():
    few = TARGETS < 2
    y, z = TARGETS[few], LOGITS[few]
    each = [sklearn.metrics.roc_auc_score((y == c).numpy(), z.double().softmax(1)[:, c].numpy()) for c in (0, 1)]
    assert measured("auroc", z, y) == pytest.approx(np.mean(each), abs=5e-3)
    assert math.isnan(measured("auroc", z[:3], torch.zeros(3, dtype=torch.long)))


@pytest.mark.parametrize("name", ["auroc", "brier", "cross_entropy", "calibration_error"])
def test_what_is_not_a_number_is_told(name):
    assert math.isnan(measured(name, torch.full((8, CLASSES), math.nan), TARGETS[:8]))


@pytest.mark.parametrize(
    "name", ["balanced_accuracy", "cross_entropy", "perplexity", "brier", "calibration_error", "auroc", "mae", "r2"]
)
def test_members_of_a_stack_are_measured_under_vmap_as_each_is(name):
    real = name in ("mae", "r2")
    prediction = torch.stack([LOGITS, LOGITS.flip(0), LOGITS.square()])
    target = torch.stack([prediction[0]] * 3 if real else [TARGETS, TARGETS.flip(0), TARGETS])
    made = functools.partial(make, "metric", name, num_classes=CLASSES)
    stacked = StackedMetric(made, 3, torch.device("cpu"))
    for part in (slice(0, 150), slice(150, N)):
        stacked.update(prediction[:, part], target[:, part])
    assert stacked.vectorized
    expected = [fed(made(), p, y, N).compute().item() for p, y in zip(prediction, target, strict=True)]
    assert stacked.compute() == pytest.approx(expected, rel=1e-6)


def test_one_is_watched_while_another_is_trained_on():
    names = ["brier", "cross_entropy", "auroc", "calibration_error", "balanced_accuracy"]
    member, _, _ = train(["loss=bce", "epochs=2", f"metric=[{','.join(names)}]", "objective=val/brier"])
    assert all(f"{split}/{name}" in member.metrics for split in ("val", "test") for name in names)
    assert member.history[1]["val/brier"] < member.history[0]["val/brier"]


@pytest.mark.parametrize(("name", "better"), [
    ("accuracy", True), ("f1", True), ("balanced_accuracy", True), ("auroc", True), ("cross_entropy", False),
    ("brier", False), ("calibration_error", False), ("mse", False), ("mae", False), ("r2", True),
])  # fmt: skip
def test_the_direction_is_true(name, better):
    good, bad = (make("metric", name, num_classes=CLASSES, task="regression") for _ in range(2))
    real = name in ("mse", "mae", "r2")
    right = REAL if real else 20 * torch.nn.functional.one_hot(TARGETS, CLASSES).float()
    target = REAL if real else TARGETS
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
