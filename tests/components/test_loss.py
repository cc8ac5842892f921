import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.helpers import make

LOGITS = torch.randn(40, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4
CLASSES = torch.arange(40) % 6


def cross_entropy(prediction, target, smoothing=0.0):
    return make("loss", "cross_entropy", {"label_smoothing": smoothing}, prediction=prediction, target=target)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_cross_entropy_is_the_mean_of_minus_the_log_of_the_softmax(smoothing):
    log_p = scipy.special.log_softmax(LOGITS.numpy(), axis=1)
    wanted = np.eye(6)[CLASSES] * (1 - smoothing) + smoothing / 6
    expected = -(wanted * log_p).sum(1).mean()
    assert cross_entropy(LOGITS, CLASSES, smoothing).item() == pytest.approx(expected, rel=1e-12)


def test_cross_entropy_takes_probabilities_for_targets():
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
def test_cross_entropy_does_not_see_a_shift_and_knows_nothing_of_equal_logits(shift, classes):
    target = torch.arange(12) % classes
    flat = torch.full((12, classes), shift, dtype=torch.float64)
    assert cross_entropy(flat, target).item() == pytest.approx(np.log(classes))
    logits = LOGITS[:12].repeat(1, 2)[:, :classes]
    torch.testing.assert_close(cross_entropy(logits + shift, target), cross_entropy(logits, target))


def test_mse_is_the_mean_over_samples_and_targets():
    prediction, target = LOGITS, LOGITS.flip(0).square()
    expected = ((prediction.numpy() - target.numpy()) ** 2).mean()
    assert make("loss", "mse", prediction=prediction, target=target).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "target"), [("cross_entropy", CLASSES), ("mse", LOGITS.flip(1))])
def test_gradients(name, target):
    prediction = LOGITS[:5].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda p: make("loss", name, prediction=p, target=target[:5]), prediction)


@pytest.mark.parametrize(("name", "target"), [("cross_entropy", CLASSES), ("mse", LOGITS.flip(1))])
def test_a_loss_is_a_mean_over_the_batch(name, target):
    halves = [make("loss", name, prediction=LOGITS[h], target=target[h]) for h in (slice(0, 20), slice(20, 40))]
    torch.testing.assert_close(sum(halves) / 2, make("loss", name, prediction=LOGITS, target=target))
