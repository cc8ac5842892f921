import functools

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.plugins.components.helpers import make
from tests.training.helpers import train

LOGITS = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
CLASSES = torch.arange(40) % 6


def cross_entropy(prediction, target, smoothing=0.0):
    return make("loss", "cross_entropy", {"label_smoothing": smoothing}, prediction=prediction, target=target)


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_cross_entropy_is_torchs(smoothing):
    theirs = F.cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing)
    torch.testing.assert_close(cross_entropy(LOGITS, CLASSES, smoothing), theirs, rtol=1e-12, atol=1e-12)


def test_cross_entropy_accepts_probabilities_as_targets():
    p = torch.softmax(LOGITS.flip(0), 1)
    entropy = scipy.stats.entropy(p.numpy(), axis=1)
    divergence = scipy.stats.entropy(p.numpy(), scipy.special.softmax(LOGITS.numpy(), axis=1), axis=1)
    assert cross_entropy(LOGITS, p).item() == pytest.approx((entropy + divergence).mean(), rel=1e-12)
    one_hot = torch.nn.functional.one_hot(CLASSES, 6).double()
    torch.testing.assert_close(cross_entropy(LOGITS, one_hot), cross_entropy(LOGITS, CLASSES))


def test_cross_entropy_of_extreme_logits_is_finite():
    logits = torch.tensor([[1e4, -1e4], [-1e4, 1e4]])
    assert cross_entropy(logits, torch.tensor([0, 1])).item() == 0
    assert cross_entropy(logits, torch.tensor([1, 0])).item() == pytest.approx(2e4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(shift=st.floats(-100, 100), classes=st.integers(2, 9))
def test_cross_entropy_ignores_a_shift_and_is_log_classes_for_equal_logits(shift, classes):
    target = torch.arange(12) % classes
    flat = torch.full((12, classes), shift, dtype=torch.float64)
    assert cross_entropy(flat, target).item() == pytest.approx(np.log(classes))
    logits = LOGITS[:12].repeat(1, 2)[:, :classes]
    torch.testing.assert_close(cross_entropy(logits + shift, target), cross_entropy(logits, target))


REAL = LOGITS.flip(0) / 3
SOFT = torch.softmax(LOGITS.flip(0), 1)
HOT = torch.nn.functional.one_hot(CLASSES, 6).double()
P = scipy.special.softmax(LOGITS.numpy(), axis=1)
CLASSIFICATION = ["cross_entropy", "bce", "focal", "softmax_mse", "softmax_bce", "raw_error"]


def loss(name, prediction, target, **settings):
    return make("loss", name, settings, prediction=prediction, target=target)


@pytest.mark.parametrize(
    ("name", "settings", "theirs"),
    [
        ("mse", {}, F.mse_loss),
        ("mae", {}, F.l1_loss),
        ("huber", {"delta": 0.05}, functools.partial(F.huber_loss, delta=0.05)),
        ("huber", {"delta": 7.5}, functools.partial(F.huber_loss, delta=7.5)),
    ],
)
def test_losses_of_numbers_are_torchs(name, settings, theirs):
    torch.testing.assert_close(loss(name, LOGITS, REAL, **settings), theirs(LOGITS, REAL), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("target", [CLASSES, SOFT], ids=["classes", "probabilities"])
def test_bce_is_a_logistic_regression_for_each_class(target):
    t = (HOT if target is CLASSES else SOFT).numpy()
    z = LOGITS.numpy()
    expected = -(t * scipy.special.log_expit(z) + (1 - t) * scipy.special.log_expit(-z)).mean()
    assert loss("bce", LOGITS, target).item() == pytest.approx(expected, rel=1e-12)
    each = [sklearn.metrics.log_loss(HOT[:, c], scipy.special.expit(z[:, c]), labels=[0, 1]) for c in range(6)]
    assert loss("bce", LOGITS, CLASSES).item() == pytest.approx(np.mean(each), rel=1e-9)


def test_bce_uses_targets_of_the_predictions_shape_unchanged():
    labels = (REAL > 0).long()
    torch.testing.assert_close(loss("bce", LOGITS, labels), loss("bce", LOGITS, labels.double()))
    z, t = LOGITS[:, 0], labels[:, 0].double()
    assert loss("bce", z, t).item() == pytest.approx(sklearn.metrics.log_loss(t, scipy.special.expit(z.numpy())))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("target", [CLASSES, SOFT], ids=["classes", "probabilities"])
def test_focal_matches_its_formula(gamma, target):
    t = (HOT if target is CLASSES else SOFT).numpy()
    expected = -(t * (1 - P) ** gamma * np.log(P)).sum(1).mean()
    assert loss("focal", LOGITS, target, gamma=gamma).item() == pytest.approx(expected, rel=1e-9)
    if gamma == 0:
        torch.testing.assert_close(loss("focal", LOGITS, target, gamma=0.0), cross_entropy(LOGITS, target))


@pytest.mark.parametrize("target", [CLASSES, SOFT], ids=["classes", "probabilities"])
def test_softmax_mse_and_bce_match_their_formulas(target):
    t = (HOT if target is CLASSES else SOFT).numpy()
    assert loss("softmax_mse", LOGITS, target).item() == pytest.approx(((P - t) ** 2).mean(), rel=1e-12)
    expected = torch.nn.functional.binary_cross_entropy(torch.tensor(P), torch.tensor(t))
    assert loss("softmax_bce", LOGITS, target).item() == pytest.approx(expected.item(), rel=1e-9)


def test_softmax_mse_is_the_brier_score_over_classes():
    expected = sklearn.metrics.brier_score_loss(CLASSES, P, labels=range(6), scale_by_half=False) / 6
    assert loss("softmax_mse", LOGITS, CLASSES).item() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(z=st.lists(st.floats(-800, 800), min_size=2, max_size=2), c=st.integers(0, 1))
def test_softmax_bce_of_two_classes_is_the_cross_entropy(z, c):
    logits, target = torch.tensor([z], dtype=torch.float64), torch.tensor([c])
    torch.testing.assert_close(loss("softmax_bce", logits, target), cross_entropy(logits, target))


@pytest.mark.parametrize("name", ["focal", "softmax_bce", "softmax_mse", "bce"])
@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_confident_logits_have_finite_losses_and_slopes(name, scale):
    logits = (torch.eye(3) * scale).requires_grad_()
    for target in (torch.arange(3), torch.tensor([1, 2, 0])):
        for gamma in ({"gamma": 0.3}, {"gamma": 0.0}) if name == "focal" else ({},):
            value = loss(name, logits, target, **gamma)
            assert torch.isfinite(value)
            assert torch.isfinite(torch.autograd.grad(value, logits)[0]).all()


def test_softmax_bce_keeps_its_slope_where_one_minus_p_rounds_to_zero():
    logits = torch.tensor([[40.0, 0.0, 0.0]], requires_grad=True)  # 1 - p is 8.5e-18, which float32 rounds to 0
    (slope,) = torch.autograd.grad(loss("softmax_bce", logits, torch.tensor([1])), logits)
    wide = logits.detach().double().requires_grad_()
    log_p = torch.log_softmax(wide, 1)
    others = torch.logsumexp(wide[:, 1:], 1) - torch.logsumexp(wide, 1)
    by_hand = -(log_p[0, 1] + others[0] + torch.log1p(-log_p[0, 2].exp())) / 3
    torch.testing.assert_close(slope.double(), torch.autograd.grad(by_hand, wide)[0], rtol=1e-5, atol=1e-6)


def test_raw_error_is_an_unbounded_mean_of_differences():
    assert loss("raw_error", LOGITS, REAL).item() == pytest.approx((LOGITS - REAL).numpy().mean())
    assert loss("raw_error", LOGITS, CLASSES).item() == pytest.approx((LOGITS - HOT).numpy().mean())
    assert loss("raw_error", LOGITS - 1e9, CLASSES) < -1e8


def test_raw_error_diverges_in_training():
    member, _, _ = train(
        ["loss=raw_error", "optimizer=sgd", "optimizer.lr=0.5", "epochs=30", "model=mlp", "model.depth=3"]
    )
    assert member.diverged is not None
    assert member.diverged["last_finite_loss"] < -1e3
    good, _, _ = train(
        ["loss=softmax_mse", "optimizer=sgd", "optimizer.lr=0.5", "epochs=3", "model=mlp", "model.depth=3"]
    )
    assert good.diverged is None


@pytest.mark.parametrize("name", ["bce", "focal", "softmax_mse", "softmax_bce"])
def test_network_learns_with_mixed_targets(name):
    member, _, _ = train([f"loss={name}", "epochs=4", "augmentation=[mixup]", "optimizer.lr=0.01"])
    assert member.metrics["val/accuracy"] > 0.8
    assert member.history[-1]["val/loss"] < member.history[0]["val/loss"]


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_one_hot_targets_of_any_dtype_equal_classes(name):
    for dtype in (torch.float32, torch.float64):
        torch.testing.assert_close(loss(name, LOGITS, HOT.to(dtype)), loss(name, LOGITS, CLASSES))
        assert loss(name, LOGITS.float(), HOT.to(dtype)).dtype == torch.float32
