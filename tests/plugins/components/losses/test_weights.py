"""Tests of balanced weights: each class counts equally."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

import harness
from harness.system.errors import HarnessError
from harness_components.losses.probability import balanced, probabilities
from harness_components.losses.standard import bce, cross_entropy, focal

DRAW = torch.Generator().manual_seed(0)
Y = torch.tensor([0] * 14 + [1] * 4 + [2] * 2)
Z = torch.randn(20, 3, generator=DRAW, dtype=torch.float64)
COUNTS = Y.bincount()
LINE = ["data=iris", "corruption=[imbalance]", "epochs=2", "batch_size=16", "logger=[]", "diagnostic=[]", "study=t"]


def test_balanced_weights_are_scikit_learns() -> None:
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=Y.numpy())
    np.testing.assert_allclose(balanced(COUNTS, Z), theirs, rtol=1e-12, atol=1e-12)
    assert balanced(torch.tensor([3, 0, 1]), Z).tolist() == pytest.approx([4 / 6, 1.0, 2.0])


def test_weighted_loss_over_the_training_samples_is_torchs() -> None:
    expected = F.cross_entropy(Z, Y, weight=balanced(COUNTS, Z))
    torch.testing.assert_close(cross_entropy(Z, Y, COUNTS), expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(focal(Z, Y, COUNTS, gamma=0.0), expected, rtol=1e-12, atol=1e-12)
    soft = probabilities(Y, 3, Z.dtype)
    torch.testing.assert_close(cross_entropy(Z, soft, COUNTS), expected, rtol=1e-12, atol=1e-12)
    smooth = F.cross_entropy(Z, Y, weight=balanced(COUNTS, Z), reduction="none", label_smoothing=0.1).mean()
    torch.testing.assert_close(cross_entropy(Z, Y, COUNTS, label_smoothing=0.1), smooth, rtol=1e-12, atol=1e-12)


def test_binary_weights_are_those_of_each_samples_class() -> None:
    y = (Y > 0).double()[:, None]
    counts = torch.tensor([14, 6])
    w = torch.tensor([20 / 28, 20 / 12], dtype=torch.float64)[y.long()]
    expected = (w * F.binary_cross_entropy_with_logits(Z[:, :1], y, reduction="none")).mean()
    torch.testing.assert_close(bce(Z[:, :1], y, counts), expected, rtol=1e-12, atol=1e-12)
    each = F.binary_cross_entropy_with_logits(Z, probabilities(Y, 3, Z.dtype), reduction="none").mean(1)
    expected = (balanced(COUNTS, Z)[Y] * each).mean()
    torch.testing.assert_close(bce(Z, Y, COUNTS), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "bce"])
def test_weighted_loss_in_a_stack_equals_that_alone(loss) -> None:
    words = [*LINE, f"loss={loss}", "trainer.precision=64-true"]
    plain = harness.run([*words, "path=alone"])
    alone = harness.run([*words, "path=alone", "loss.weights=balanced", "rerun=true"])
    fused = harness.run([*words, "path=fused", "loss.weights=balanced", "rerun=true"])
    assert alone.metrics["train/loss"] != pytest.approx(plain.metrics["train/loss"], rel=1e-3)
    assert fused.metrics["train/loss"] == pytest.approx(alone.metrics["train/loss"], rel=1e-8)
    assert fused.metrics["val/loss"] == pytest.approx(alone.metrics["val/loss"], rel=1e-8)


def test_weights_without_classes_are_refused() -> None:
    with pytest.raises(HarnessError, match="loss bce with weights needs classes that are counted"):
        harness.run(["data=sklearn_make_multilabel_classification", "loss=bce", "loss.weights=balanced"])
