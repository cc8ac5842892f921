import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import torch

from harness.registry import catalogue
from harness.registry.instantiate import trait
from harness.registry.kinds import KEY
from harness.registry.registry import REGISTRY
from tests.plugins.components.helpers import make

X = torch.linspace(-6, 6, 241, dtype=torch.float64)
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017, appendix 2


def mish(x):
    return x * np.tanh(np.logaddexp(0, x))


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


REFERENCES = [
    ("identity", {}, lambda x: x),
    ("step", {}, lambda x: np.heaviside(x, 0)),
    ("relu", {}, lambda x: np.maximum(x, 0)),
    ("sigmoid", {}, scipy.special.expit),
    ("sigmoid", {"slope": 4.0}, lambda x: scipy.special.expit(4 * x)),
    ("tanh", {}, lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))),
    ("leaky_relu", {}, lambda x: np.where(x > 0, x, 0.01 * x)),
    ("leaky_relu", {"negative_slope": 0.9}, lambda x: np.where(x > 0, x, 0.9 * x)),
    ("elu", {}, lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    ("elu", {"alpha": 0.3}, lambda x: np.where(x > 0, x, 0.3 * (np.exp(x) - 1))),
    ("selu", {}, lambda x: SCALE * np.where(x > 0, x, ALPHA * (np.exp(x) - 1))),
    ("gelu", {}, lambda x: x * scipy.stats.norm.cdf(x)),
    ("gelu", {"form": "tanh"}, gelu_tanh),
    ("silu", {}, lambda x: x * scipy.special.expit(x)),
    ("silu", {"beta": 0.2}, lambda x: x * scipy.special.expit(0.2 * x)),
    ("mish", {}, mish),
    ("detached", {}, lambda x: x),
    ("softplus", {}, lambda x: np.logaddexp(0, x)),
    ("softplus", {"beta": 5.0}, lambda x: np.logaddexp(0, 5 * x) / 5),
]
ELEMENTWISE = [  # those of torch are compared with torch's classes in test_torch_bridge
    row["name"]
    for row in catalogue.current()
    if row["kind"] == "activation" and row["asks"] == ["x"] and not row["name"].startswith("torch_")
]
each = pytest.mark.parametrize(("name", "settings", "reference"), REFERENCES)
WITHOUT_SLOPE = {e["name"] for e in catalogue.current() if "gradient" in e["traits"].get("skips", {})}
every = pytest.mark.parametrize("name", [name for name in ELEMENTWISE if name not in WITHOUT_SLOPE])


def gain(name, settings):
    return trait("activation", {KEY: name, **settings}, "gain", 1.0)


def test_every_activation_has_a_reference():
    assert {name for name, _, _ in REFERENCES} >= {*ELEMENTWISE}


@each
def test_values_match_the_formula(name, settings, reference):
    result = make("activation", name, settings, x=X).numpy()
    np.testing.assert_allclose(result, reference(X.numpy()), rtol=1e-7, atol=1e-14)


@each
def test_gain_keeps_the_mean_square_of_a_standard_normal(name, settings, reference):
    def integrand(z):
        return float(reference(z)) ** 2 * scipy.stats.norm.pdf(z)

    square = sum(scipy.integrate.quad(integrand, *part, epsabs=1e-12)[0] for part in ((-12, 0), (0, 12)))
    expected = {"sigmoid": 1.0, "tanh": 5 / 3}.get(name, square**-0.5)  # tanh has LeCun's gain
    assert gain(name, settings) == pytest.approx(expected, rel=1e-6)


def test_selu_keeps_the_mean_too():
    mean = scipy.integrate.quad(lambda z: make_value("selu", z) * scipy.stats.norm.pdf(z), -12, 12, points=[0.0])[0]
    assert mean == pytest.approx(0, abs=1e-7)


def make_value(name, z):
    return make("activation", name, x=torch.tensor(z, dtype=torch.float64)).item()


def test_step_passes_no_gradient_and_keeps_nan():
    x = torch.tensor([-1.0, 0.0, 1e-30, 5.0], requires_grad=True)
    y = make("activation", "step", x=x)
    assert y.tolist() == [0, 0, 1, 1]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]
    assert make("activation", "step", x=torch.tensor([torch.nan])).isnan().all()


@pytest.mark.parametrize(
    ("name", "setting", "limit", "to"),
    [
        ("sigmoid", "slope", 1e4, lambda x: np.heaviside(x, 0.5)),
        ("silu", "beta", 1e4, lambda x: np.maximum(x, 0)),
        ("silu", "beta", 1e-9, lambda x: x / 2),
        ("softplus", "beta", 1e4, lambda x: np.maximum(x, 0)),
        ("elu", "alpha", 1e-9, lambda x: np.maximum(x, 0)),
    ],
)
def test_extreme_setting_approaches_its_limit_function(name, setting, limit, to):
    x = X[X.abs() > 1e-3]
    np.testing.assert_allclose(make("activation", name, {setting: limit}, x=x), to(x.numpy()), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "setting"), [("sigmoid", "slope"), ("elu", "alpha"), ("silu", "beta"), ("softplus", "beta")]
)
def test_setting_may_have_one_value_per_member(name, setting):
    """In a stack, a float setting is a tensor under vmap."""
    function = REGISTRY.get("activation", name)
    values = torch.tensor([0.5, 1.5], dtype=torch.float64)
    together = torch.vmap(lambda value: function(X, **{setting: value}))(values)
    apart = torch.stack([function(X, **{setting: value}) for value in values.tolist()])
    torch.testing.assert_close(together, apart)


@every
def test_extreme_inputs_have_finite_values_and_slopes(name):
    x = torch.tensor([-1e30, -100.0, 100.0, 1e30], requires_grad=True)
    y = make("activation", name, x=x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.isfinite(y).all()
    assert torch.isfinite(slope).all()


def test_slope_of_relu_at_zero_is_zero():
    x = torch.zeros(1, requires_grad=True)
    make("activation", "relu", x=x).sum().backward()
    assert x.grad.item() == 0


@pytest.mark.parametrize("name", ["relu", "tanh", "leaky_relu"])
def test_gain_is_torchs(name):
    assert gain(name, {}) == pytest.approx(torch.nn.init.calculate_gain(name))
