"""Tests of the bridge to torch's classes: against those classes, and reasons for omissions, verified by trial."""

import copy
import inspect
import subprocess
import sys
import types
import warnings

import pytest
import torch
from torch import nn

import harness
from harness.registry import catalogue
from harness.registry.component import parameters, validate
from harness.registry.param_types import convert
from harness.system.errors import HarnessError
from harness_components.bridges import torch_bridge
from harness_components.bridges.torch_words import meaning, sentence, snake
from tests.plugins.components.helpers import make

MADE = {(c.__harness__.kind, c.__name__): c for c in harness.marked(torch_bridge)}
CLASSES = {
    (kind, snake(name)): getattr(module, name)
    for kind, module in torch_bridge.FROM
    for name in module.__all__
    if inspect.isclass(getattr(module, name)) and getattr(module, name) is not torch.optim.Optimizer
}
GIVEN = {"torch_threshold": {"threshold": 0.3, "value": -2.0}}
# Settings other than the defaults, for classes that accept them.
OTHER = {
    float: lambda d: 1.5 * d if d >= 1 else 0.5 * (d or 0.2),
    int: lambda d: d + 1,
    bool: lambda d: d,
    str: lambda d: "tanh",
}


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 3


def target_of(component, prediction):
    if "classification" in component.__harness__.traits["tasks"]:
        return torch.arange(len(prediction)) % prediction.shape[1]
    return prediction.flip(0) + 0.1


def rows(settings):
    """Return a test case for each component of a kind, with its defaults and with other settings."""
    cases = []
    for (kind, name), component in MADE.items():
        if kind == settings:
            given = GIVEN.get(name, {})
            cases.append(pytest.param(name, given, id=name))
            own = [p for p in parameters(component) if not p.required and type(p.default) in OTHER]
            other = {p.name: OTHER[type(p.default)](p.default) for p in own}
            if other:
                cases.append(pytest.param(name, given | other, id=f"{name}-other"))
    return pytest.mark.parametrize(("name", "settings"), cases)


@rows("activation")
def test_activation_is_torchs(name, settings):
    x = draw(4, 5).requires_grad_()
    wanted = CLASSES["activation", name](**settings)(x)
    result = make("activation", name, settings, x=x)
    assert torch.equal(result, wanted)
    slopes = [torch.autograd.grad(y.sum(), x)[0] for y in (result, wanted)]
    assert torch.equal(*slopes)


@rows("loss")
def test_loss_is_torchs(name, settings):
    prediction = draw(8, 3)
    target = target_of(MADE["loss", name], prediction)
    result = make("loss", name, settings, prediction=prediction, target=target)
    assert torch.equal(result, CLASSES["loss", name](**settings)(prediction, target))


def stepped(make_optimizer):
    """Return parameters after a few steps down a quadratic bowl."""
    held = [nn.Parameter(draw(2, 3)), nn.Parameter(draw(3))]
    optimizer = make_optimizer(held)
    for _ in range(4):
        optimizer.zero_grad()
        sum((p**2).sum() for p in held).backward()
        optimizer.step()
    return [p.detach().clone() for p in held]


@rows("optimizer")
def test_optimizer_is_torchs(name, settings):
    cls = CLASSES["optimizer", name]
    result = stepped(lambda held: make("optimizer", name, settings, params=held))
    wanted = stepped(lambda held: cls(held, **settings))
    assert all(torch.equal(a, b) for a, b in zip(result, wanted, strict=True))
    assert not torch.equal(result[0], draw(2, 3))


@pytest.mark.parametrize(("kind", "name"), MADE)
def test_settings_and_defaults_are_torchs(kind, name):
    theirs = inspect.signature(CLASSES[kind, name]).parameters
    for p in parameters(MADE[kind, name]):
        assert p.required == (theirs[p.name].default is inspect.Parameter.empty)
        if not p.required:
            assert p.default == theirs[p.name].default
    kept = {p.name for p in parameters(MADE[kind, name])}
    plain = {n for n, p in theirs.items() if type(p.default) in (bool, int, float, tuple)}
    assert plain - kept <= torch_bridge.NOT_SETTINGS
    assert set(theirs) & {"lr", "betas"} <= kept


@pytest.mark.parametrize(("kind", "name"), MADE)
def test_bridged_class_is_a_regular_component(kind, name):
    component = MADE[kind, name]
    assert validate(component).name == component.__name__ == component.__qualname__ == name
    assert getattr(torch_bridge, name) is component
    assert copy.deepcopy(component) is component
    assert CLASSES[kind, name].__name__ in component.__doc__


@pytest.mark.parametrize(
    ("kind", "name", "setting", "value"),
    [
        ("optimizer", "torch_asgd", "lr", "fast"),
        ("optimizer", "torch_asgd", "lr", True),
        ("optimizer", "torch_adamax", "betas", [0.9]),
        ("optimizer", "torch_rprop", "step_sizes", 1e-6),
        ("optimizer", "torch_sgd", "nesterov", 1),
        ("activation", "torch_gelu", "approximate", "sinh"),
        ("activation", "torch_elu", "alpha", float("nan")),
        ("loss", "torch_cross_entropy", "ignore_index", 0.5),
    ],
)
def test_value_of_a_wrong_type_is_refused(kind, name, setting, value):
    hints = {p.name: p.hint for p in parameters(MADE[kind, name])}
    with pytest.raises(ValueError, match="must"):
        convert(hints[setting], value)


def test_value_refused_by_torch_is_refused():
    with pytest.raises(HarnessError, match="torch_adam: Invalid learning rate: -1"):
        make("optimizer", "torch_adam", {"lr": -1.0}, params=[nn.Parameter(torch.ones(1))])


def test_every_class_is_bridged_or_gives_a_reason():
    reasons = torch_bridge.left_out()
    assert {f"{kind}/{name}" for kind, name in CLASSES} == {*reasons, *(f"{kind}/{name}" for kind, name in MADE)}
    assert not {f"{kind}/{name}" for kind, name in MADE} & set(reasons)
    assert all(len(reason) > 10 for reason in reasons.values())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("activation/torch_multihead_attention", "query, key, value"),
        ("activation/torch_prelu", "parameters of its own"),
        ("activation/torch_rrelu", "behaves differently in training"),
        ("activation/torch_softmax2d", "not element-wise"),
        ("activation/torch_glu", "not element-wise"),
        ("loss/torch_ctc", "input_lengths"),
        ("loss/torch_triplet_margin", "anchor, positive, negative"),
        ("loss/torch_gaussian_nll", "var"),
        ("loss/torch_bce", "neither real values nor classes"),
        ("loss/torch_hinge_embedding", "neither real values nor classes"),
        ("loss/torch_nll", "no probabilities of classes"),
        ("loss/torch_nll_2d", "deprecated"),
        ("optimizer/torch_lbfgs", "closure"),
        ("optimizer/torch_muon", "only supports 2D"),
        ("optimizer/torch_sparse_adam", "dense gradients"),
    ],
)
def test_omission_has_its_reason(name, reason):
    assert reason in torch_bridge.left_out()[name]


def of(kind):
    return [(name, cls) for (its, name), cls in CLASSES.items() if its == kind]


def elementwise(cls):
    """Return True if a module, on trial, is one function of each element, without state and equal in training."""
    try:
        module = cls(**GIVEN.get(snake(cls.__name__), {}))
        x = draw(7)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            whole, again = module(x), module(x)
            apart = torch.stack([module(x[i : i + 1])[0] for i in range(7)])
    except (TypeError, RuntimeError, ValueError):
        return False
    return not [*module.parameters()] and torch.equal(whole, apart) and torch.equal(whole, again)


@pytest.mark.parametrize(("name", "cls"), of("activation"))
def test_bridged_activations_are_those_elementwise_on_trial(name, cls):
    assert (("activation", name) in MADE) == elementwise(cls)


@pytest.mark.parametrize(("name", "cls"), of("optimizer"))
def test_bridged_optimizers_are_those_that_step_on_trial(name, cls):
    try:
        stepped(cls)
        works = True
    except (TypeError, ValueError, RuntimeError):
        works = False
    assert (("optimizer", name) in MADE) == works


@pytest.mark.parametrize(("name", "component"), [(n, c) for (kind, n), c in MADE.items() if kind == "loss"])
def test_loss_is_minimal_at_the_target(name, component):
    """Descending from any point makes the prediction the target, or for classes the right one the likeliest."""
    z = draw(6, 3).requires_grad_()
    target = target_of(component, z.detach())
    descent = torch.optim.Adam([z], lr=0.1)
    for _ in range(400):
        descent.zero_grad()
        component(z, target).backward()
        descent.step()
    if "classification" in component.__harness__.traits["tasks"]:
        assert torch.equal(z.argmax(1), target)
        hot = nn.functional.one_hot(target, 3).double()
        assert component(z, hot).item() == pytest.approx(component(z, target).item())
    else:
        torch.testing.assert_close(z.detach(), target, atol=0.2, rtol=0)


def test_losses_have_their_tasks():
    now = catalogue.current()
    tasks = {name: now.get("loss", name)["traits"]["tasks"] for kind, name in MADE if kind == "loss"}
    assert {"torch_l1", "torch_mse", "torch_smooth_l1", "torch_huber"} <= {
        n for n in tasks if tasks[n] == ["regression", "reconstruction"]
    }
    assert tasks["torch_cross_entropy"] == ["classification", "one_shot"]


@pytest.mark.parametrize("name", ["relu", "tanh", "sigmoid", "selu"])
def test_gain_is_torchs(name):
    assert MADE["activation", f"torch_{name}"].__harness__.traits["gain"] == nn.init.calculate_gain(name)


def test_gain_of_leaky_relu_depends_on_its_slope():
    gain = MADE["activation", "torch_leaky_relu"].__harness__.traits["gain"]
    assert gain(negative_slope=0.3) == nn.init.calculate_gain("leaky_relu", 0.3)


class Swash(nn.Module):
    r"""Applies the swash, :math:`x \cdot c`. It is of a torch to come.

    Args:
        scale (float): how steep it is. Default: 2.0
        fast: whether in place
    """

    def __init__(self, scale: float = 2.0, inplace: bool = False, fast: bool | None = None) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return input * self.scale


class QuarticLoss(nn.Module):
    def __init__(self, weight: torch.Tensor | None = None, reduction: str = "mean", power: int = 4) -> None:
        super().__init__()
        self.power = power

    def forward(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (input - target).pow(self.power).mean()


class SignSGD(torch.optim.Optimizer):
    """Implements descent by signs."""

    def __init__(
        self, params, lr: float | torch.Tensor = 1, shapes: list | None = None, *, foreach: bool | None = None
    ):
        super().__init__(params, {"lr": lr})

    def step(self, closure=None):
        return None


@pytest.mark.parametrize(
    ("kind", "cls", "name", "settings"),
    [
        ("activation", Swash, "torch_swash", {"scale": 2.0}),
        ("loss", QuarticLoss, "torch_quartic", {"power": 4}),
        ("optimizer", SignSGD, "torch_sign_sgd", {"lr": 1.0}),
    ],
)
def test_new_torch_class_is_bridged(kind, cls, name, settings):
    module = types.ModuleType("torch.to.come")
    module.__all__ = [cls.__name__]
    setattr(module, cls.__name__, cls)
    bridged, out = torch_bridge.bridge(kind, module)
    assert (list(bridged), out) == ([name], {})
    assert {p.name: p.default for p in parameters(bridged[name])} == settings
    assert [type(p.default) for p in parameters(bridged[name])] == [type(value) for value in settings.values()]
    assert validate(bridged[name]).kind == kind


class Strange(nn.Module):
    forward = None


def test_unreadable_class_is_left_out():
    module = types.ModuleType("torch.to.come")
    module.__all__ = ["Strange", "Swash", "gone"]
    module.Strange, module.Swash = Strange, Swash
    bridged, out = torch_bridge.bridge("activation", module)
    assert list(bridged) == ["torch_swash"]
    assert out["torch_strange"].startswith("it cannot be read: ")


def test_docs_are_taken_from_torch():
    assert sentence(Swash.__doc__) == "Applies the swash, x cdot c."
    assert meaning(Swash.__doc__, "scale") == "how steep it is"
    assert meaning(Swash.__doc__, "slope") == ""
    assert sentence("") == ""


def test_importing_the_bridge_starts_no_threads():
    """A worker forked from a process with a thread pool waits for its threads forever."""
    code = (
        "import os, torch; torch.set_num_threads(4); before = len(os.listdir('/proc/self/task'))\n"
        "import harness_components.bridges.torch_bridge\n"
        "print(len(os.listdir('/proc/self/task')) - before, torch.get_num_threads(), 'torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "4", "False"]
