import math

import pytest
import scipy.stats
import torch

from harness.seeds import generator
from tests.components.helpers import make

SHAPE, FAN_IN, FAN_OUT, GAIN = (400, 300), 300, 400, 1.7
TOGETHER = math.sqrt(2 / (FAN_IN + FAN_OUT))
EXPECTED = {
    ("he_normal", ()): scipy.stats.norm(0, GAIN / math.sqrt(FAN_IN)),
    ("he_normal", (("fan", "out"),)): scipy.stats.norm(0, GAIN / math.sqrt(FAN_OUT)),
    ("he_uniform", ()): scipy.stats.uniform(-GAIN * math.sqrt(3 / FAN_IN), 2 * GAIN * math.sqrt(3 / FAN_IN)),
    ("he_uniform", (("fan", "out"),)): scipy.stats.uniform(
        -GAIN * math.sqrt(3 / FAN_OUT), 2 * GAIN * math.sqrt(3 / FAN_OUT)
    ),
    ("xavier_normal", ()): scipy.stats.norm(0, TOGETHER),
    ("xavier_uniform", ()): scipy.stats.uniform(-math.sqrt(3) * TOGETHER, 2 * math.sqrt(3) * TOGETHER),
    ("normal", ()): scipy.stats.norm(0, 0.01),
    ("normal", (("mean", -2.0), ("std", 0.5))): scipy.stats.norm(-2, 0.5),
}


def filled(name, settings=(), seed=0, shape=SHAPE):
    weight, bias = torch.full(shape, 99.0), torch.full((shape[0],), 99.0)
    result = make(
        "initializer",
        name,
        dict(settings),
        weight=weight,
        bias=bias,
        fan_in=FAN_IN,
        fan_out=FAN_OUT,
        gain=GAIN,
        index=0,
        generator=generator(seed),
    )
    assert result is None
    assert torch.equal(bias, torch.full((shape[0],), 99.0))
    return weight


@pytest.mark.parametrize(("name", "settings"), EXPECTED)
def test_weights_have_their_distribution(name, settings):
    drawn = filled(name, settings).double().flatten().numpy()
    exact, n = EXPECTED[name, settings], len(drawn)
    assert scipy.stats.kstest(drawn[:20_000], exact.cdf).pvalue > 1e-3
    assert abs(drawn.mean() - exact.mean()) < 4 * exact.std() / math.sqrt(n)
    spread = math.sqrt((float(exact.stats("k")) + 2) / (4 * n))  # of a sample's relative deviation
    assert abs(drawn.std() / exact.std() - 1) < 4 * spread


@pytest.mark.parametrize(("name", "settings"), EXPECTED)
def test_weights_are_a_function_of_the_generator(name, settings):
    assert torch.equal(filled(name, settings, 1), filled(name, settings, 1))
    assert not torch.equal(filled(name, settings, 1), filled(name, settings, 2))


@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "xavier_normal", "xavier_uniform"])
def test_weights_are_torchs_but_for_the_generator(name):
    torchs = {
        "he_normal": torch.nn.init.kaiming_normal_,
        "he_uniform": torch.nn.init.kaiming_uniform_,
        "xavier_normal": torch.nn.init.xavier_normal_,
        "xavier_uniform": torch.nn.init.xavier_uniform_,
    }[name]
    expected = torchs(torch.empty(SHAPE), generator=generator(3))
    scale = GAIN / math.sqrt(2) if name.startswith("he") else 1.0
    torch.testing.assert_close(filled(name, seed=3), expected * scale)


def test_zeros_are_zeros():
    assert filled("zeros").abs().max() == 0
