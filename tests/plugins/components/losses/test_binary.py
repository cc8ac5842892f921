import numpy as np
import pytest
import scipy.special
import torch
from sklearn.metrics import log_loss

from tests.plugins.components.helpers import make

LOGITS = torch.randn(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4


def bce(prediction, target):
    return make("loss", "bce", prediction=prediction, target=target).item()


def test_bce_is_scikit_learns_log_loss():
    target = (torch.arange(40) % 3 == 0).double()
    expected = log_loss(target.numpy(), scipy.special.expit(LOGITS[:, 0].numpy()))
    assert bce(LOGITS[:, :1], target[:, None]) == pytest.approx(expected, rel=1e-9)


def test_bce_of_extreme_logits_is_finite():
    assert bce(torch.tensor([[1e4], [-1e4]]), torch.tensor([[1.0], [0.0]])) == 0
    assert bce(torch.tensor([[1e4], [-1e4]]), torch.tensor([[0.0], [1.0]])) == pytest.approx(1e4)
    assert bce(torch.zeros(5, 2), torch.ones(5, 2)) == pytest.approx(np.log(2))


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "softmax_mse", "softmax_bce"])
def test_class_loss_accepts_one_logit_for_two_classes(name):
    z, y = LOGITS[:, :1], (torch.arange(40) % 3 == 0).double()[:, None]
    both = torch.cat([torch.zeros_like(z), z], 1)
    one = make("loss", name, prediction=z, target=y).item()
    assert one == pytest.approx(make("loss", name, prediction=both, target=y[:, 0].long()).item(), rel=1e-12, abs=1e-12)
    assert one > 0


def test_cross_entropy_of_one_logit_is_bce():
    z, y = LOGITS[:, :1], (torch.arange(40) % 3 == 0).double()[:, None]
    assert make("loss", "cross_entropy", prediction=z, target=y).item() == pytest.approx(bce(z, y), rel=1e-9, abs=1e-12)
