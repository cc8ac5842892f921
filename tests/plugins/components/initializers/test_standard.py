import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from harness.config.seeds import generator
from harness.modeling.initialization import initialize
from harness.registry.registry import REGISTRY
from tests.plugins.components.helpers import make

SHAPE, FAN_IN, FAN_OUT, GAIN = (400, 300), 300, 400, 1.7
TOGETHER = math.sqrt(2 / (FAN_IN + FAN_OUT))
EXPECTED = {
    ("he_normal", (("fan", "out"),)): scipy.stats.norm(0, GAIN / math.sqrt(FAN_OUT)),
    ("he_uniform", (("fan", "out"),)): scipy.stats.uniform(
        -GAIN * math.sqrt(3 / FAN_OUT), 2 * GAIN * math.sqrt(3 / FAN_OUT)
    ),
    ("xavier_normal", (("scale", None),)): scipy.stats.norm(0, GAIN * TOGETHER),
    ("xavier_uniform", (("scale", 3.0),)): scipy.stats.uniform(
        -3 * math.sqrt(3) * TOGETHER, 6 * math.sqrt(3) * TOGETHER
    ),
    ("lecun_normal", ()): scipy.stats.norm(0, 1 / math.sqrt(FAN_IN)),
    ("lecun_uniform", ()): scipy.stats.uniform(-math.sqrt(3 / FAN_IN), 2 * math.sqrt(3 / FAN_IN)),
    ("uniform", ()): scipy.stats.uniform(-0.05, 0.1),
    ("uniform", (("mean", 1.0), ("bound", 2.0))): scipy.stats.uniform(-1, 4),
    ("truncated_normal", ()): scipy.stats.truncnorm(-2, 2, 0, 0.02),
    ("truncated_normal", (("mean", 3.0), ("std", 0.5))): scipy.stats.truncnorm(-2, 2, 3, 0.5),
    ("normal", ()): scipy.stats.norm(0, 0.01),
    ("normal", (("mean", -2.0), ("std", 0.5))): scipy.stats.norm(-2, 0.5),
}


WITH_BIAS = {
    ("torch_default", ()): scipy.stats.uniform(-1 / math.sqrt(FAN_IN), 2 / math.sqrt(FAN_IN)),
    ("centred_sigmoid", ()): scipy.stats.norm(0, 4 * TOGETHER),
    ("bias_shift", ()): scipy.stats.norm(0, GAIN / math.sqrt(FAN_IN)),
    ("bias_shift", (("value", -3.0),)): scipy.stats.norm(0, GAIN / math.sqrt(FAN_IN)),
}


def layer(name, settings=(), seed=0, shape=SHAPE, bias=True, gain=GAIN, fans=(FAN_IN, FAN_OUT)):
    """Return (weight, bias) of one layer."""
    weight, shift = torch.full(shape, 99.0), torch.full((shape[0],), 99.0) if bias else None
    result = make(
        "initializer",
        name,
        dict(settings),
        weight=weight,
        bias=shift,
        fan_in=fans[0],
        fan_out=fans[1],
        gain=gain,
        index=0,
        generator=generator(seed),
    )
    assert result is None
    return weight, shift


def filled(name, settings=(), seed=0, shape=SHAPE):
    weight, bias = layer(name, settings, seed, shape)
    if (name, settings) not in WITH_BIAS:
        assert torch.equal(bias, torch.full((shape[0],), 99.0))
    return weight


@pytest.mark.parametrize(("name", "settings"), EXPECTED | WITH_BIAS)
def test_weights_have_their_distribution(name, settings):
    drawn = filled(name, settings).double().flatten().numpy()
    exact, n = (EXPECTED | WITH_BIAS)[name, settings], len(drawn)
    assert scipy.stats.kstest(drawn[:20_000], exact.cdf).pvalue > 1e-3
    assert abs(drawn.mean() - exact.mean()) < 4 * exact.std() / math.sqrt(n)
    spread = math.sqrt((float(exact.stats("k")) + 2) / (4 * n))  # relative deviation of a sample
    assert abs(drawn.std() / exact.std() - 1) < 4 * spread


@pytest.mark.parametrize("name", ["he_normal", "he_uniform", "xavier_normal", "xavier_uniform"])
def test_weights_are_torchs_with_a_generator(name):
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


def test_constant_is_constant():
    assert (filled("constant") == 0.1).all()
    assert (filled("constant", (("value", -2.0),)) == -2).all()


@pytest.mark.parametrize("name", sorted({name for name, _ in WITH_BIAS}))
def test_layers_without_a_bias_have_the_same_weights(name):
    assert torch.equal(layer(name, bias=False)[0], layer(name)[0])


@pytest.mark.parametrize(
    "make_layer",
    [
        lambda: nn.Linear(30, 20),
        lambda: nn.Linear(30, 20, bias=False),
        lambda: nn.Conv2d(6, 4, 3),
        lambda: nn.Conv2d(6, 4, 3, groups=2),
        lambda: nn.Conv1d(3, 5, 7),
        lambda: nn.ConvTranspose2d(6, 4, 3),
    ],
)
def test_torch_default_is_torchs(make_layer):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        theirs = make_layer()
    ours = make_layer()
    fill = REGISTRY.get("initializer", "torch_default")
    initialize(ours, lambda **offers: fill(offers["weight"], offers["bias"], offers["generator"]), 1.0, seeded(5))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(6, 6), (3, 8), (8, 3), (4, 3, 3, 3), (40, 2, 3)])
@pytest.mark.parametrize(("settings", "scale"), [((), GAIN), ((("scale", 0.5),), 0.5)])
def test_orthogonal_matrices_and_kernels_are_orthogonal(shape, settings, scale):
    w = filled("orthogonal", settings, shape=shape).flatten(1).double()
    product = w @ w.mT if w.shape[0] <= w.shape[1] else w.mT @ w
    torch.testing.assert_close(product, scale**2 * torch.eye(len(product), dtype=torch.float64), rtol=0, atol=1e-5)


def test_orthogonal_matrices_are_uniformly_distributed():
    """By Haar's measure the trace has mean 0 and variance 1, and both determinants are equally frequent."""
    drawn = torch.stack([filled("orthogonal", (("scale", 1.0),), seed, (4, 4)) for seed in range(400)]).double()
    traces = drawn.diagonal(dim1=1, dim2=2).sum(1)
    assert abs(traces.mean().item()) < 4 / math.sqrt(400)
    assert traces.var().item() == pytest.approx(1, abs=4 * math.sqrt(2 / 400))
    assert abs(torch.linalg.det(drawn).mean().item()) < 4 / math.sqrt(400)


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_identity_of_matrices_is_numpys(shape):
    np.testing.assert_array_equal(filled("identity", shape=shape), np.eye(*shape))


@pytest.mark.parametrize(
    "convolution", [nn.Conv1d(3, 3, 5, padding=2), nn.Conv2d(3, 3, 3, padding=1), nn.Conv3d(3, 3, 3, padding=1)]
)
def test_identity_of_kernels_is_the_identity(convolution):
    x = torch.randn(2, 3, *[6] * (convolution.weight.ndim - 2), generator=seeded(0))
    with torch.no_grad():
        convolution.weight.copy_(filled("identity", shape=tuple(convolution.weight.shape)))
        convolution.bias.zero_()
        torch.testing.assert_close(convolution(x), x)


def test_identity_adds_normal_noise():
    rest = (filled("identity", (("noise", 0.1),)) - filled("identity")).double().flatten().numpy()
    assert scipy.stats.kstest(rest[:20_000], scipy.stats.norm(0, 0.1).cdf).pvalue > 1e-3


def test_bias_shift_sets_the_bias_only():
    assert (layer("bias_shift", (("value", -3.0),))[1] == -3).all()
    assert torch.equal(filled("bias_shift"), filled("he_normal"))


@pytest.mark.parametrize(("shape", "fans"), [((40, 30), (30, 40)), ((8, 3, 5, 5), (75, 200)), ((3, 3, 5, 5), (75, 75))])
def test_centred_sigmoid_centres_inputs_of_one_half(shape, fans):
    weight, bias = layer("centred_sigmoid", shape=shape, fans=fans)
    x = torch.full((1, *shape[1:]), 0.5)
    z = nn.functional.linear(x, weight, bias) if len(shape) == 2 else nn.functional.conv2d(x, weight, bias)
    torch.testing.assert_close(z, torch.zeros_like(z), rtol=0, atol=1e-5)


def test_centred_sigmoid_centres_transposed_convolutions():
    convolution = nn.ConvTranspose1d(6, 4, 3, stride=3)
    weight, bias = torch.empty(6, 4, 3), torch.empty(4)
    make("initializer", "centred_sigmoid", weight=weight, bias=bias, fan_in=18, fan_out=12, generator=seeded(0))
    with torch.no_grad():
        convolution.weight.copy_(weight)
        convolution.bias.copy_(bias)
        # each output here uses one of the three elements of a kernel: their sum is centred
        z = convolution(torch.full((1, 6, 5), 0.5)).detach() - bias[:, None]
    torch.testing.assert_close(z.unfold(2, 3, 3).sum(-1), (-bias[:, None]).expand(4, 5)[None])


def reach(name, depth=30, width=128):
    """Return the ratio of gradient norms at the bottom and at the top of a deep sigmoid net."""
    draw = seeded(0)
    x = torch.rand(64, width, generator=draw)
    signals = []
    for seed in range(depth):
        weight, bias = layer(name, (), seed, (width, width), gain=1.0, fans=(width, width))
        if name != "centred_sigmoid":
            bias.zero_()
        x = torch.sigmoid(nn.functional.linear(x, weight, bias)).requires_grad_()
        signals.append(x)
    top = torch.randn(x.shape, generator=draw)
    bottom, last = torch.autograd.grad((signals[-1] * top).sum(), [signals[0], signals[-1]])
    return (bottom.norm() / last.norm()).item()


def test_centred_sigmoid_passes_gradients_through_a_deep_net():
    """With other initial weights, the product of the sigmoid's slopes vanishes."""
    assert reach("centred_sigmoid") > 0.05
    assert reach("xavier_normal") < 1e-12
    assert reach("he_normal") < 1e-12
