"""Each optimizer of torch against its update written by hand in numpy, several steps; and what holds for all."""

import copy
import math

import numpy as np
import pytest
import torch

from harness.system.errors import HarnessError
from harness.training.vectorized.sharing import probe_sharing
from harness.training.vectorized.stack import Weights
from tests.plugins.components.helpers import make
from tests.plugins.components.optimizers.helpers import NAMES, built, path, trained


def sgd(w, g, s, t, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    s["v"] = momentum * s.get("v", 0) + g
    return w - lr * (g + momentum * s["v"] if nesterov else s["v"])


def momentum(w, g, s, t, lr=0.01, momentum=0.9, weight_decay=0.0):
    s["v"] = momentum * s.get("v", 0) + g + weight_decay * w
    return w - lr * s["v"]


def nesterov(w, g, s, t, lr=0.01, momentum=0.9, weight_decay=0.0):
    """The gradient at the point looked ahead to, which is w here: what moves is the point behind."""
    behind = w + lr * momentum * s.get("v", 0)
    s["v"] = momentum * s.get("v", 0) + g + weight_decay * w
    return behind - lr * s["v"] - lr * momentum * s["v"]


def adam(w, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False, bias_correction=True):
    g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    held = [1 - beta**t if bias_correction else 1 for beta in betas]
    v = (s["top"] if amsgrad else s["v"]) / held[1]
    return w - lr * s["m"] / held[0] / (np.sqrt(v) + eps)


def adamw(w, g, s, t, lr=1e-3, weight_decay=0.01, **rest):
    return adam(w - lr * weight_decay * w, g, s, t, lr=lr, **rest)


def rmsprop(w, g, s, t, lr=1e-3, alpha=0.99, momentum=0.0, eps=1e-8, centered=False, weight_decay=0.0):
    g = g + weight_decay * w
    s["v"] = alpha * s.get("v", 0) + (1 - alpha) * g**2
    s["mean"] = alpha * s.get("mean", 0) + (1 - alpha) * g
    step = g / (np.sqrt(s["v"] - s["mean"] ** 2 if centered else s["v"]) + eps)
    s["buffer"] = momentum * s.get("buffer", 0) + step
    return w - lr * s["buffer"]


def adagrad(w, g, s, t, lr=1e-2, lr_decay=0.0, eps=1e-10, weight_decay=0.0):
    g = g + weight_decay * w
    s["sum"] = s.get("sum", 0) + g**2
    return w - lr / (1 + (t - 1) * lr_decay) * g / (np.sqrt(s["sum"]) + eps)


def adadelta(w, g, s, t, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0):
    g = g + weight_decay * w
    s["v"] = rho * s.get("v", 0) + (1 - rho) * g**2
    step = g * np.sqrt(s.get("u", 0) + eps) / np.sqrt(s["v"] + eps)
    s["u"] = rho * s.get("u", 0) + (1 - rho) * step**2
    return w - lr * step


def radam(w, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
    g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    most = 2 / (1 - betas[1]) - 1
    length = most - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    mean = s["m"] / (1 - betas[0] ** t)
    if length <= 5:
        return w - lr * mean
    r = math.sqrt((length - 4) * (length - 2) * most / ((most - 4) * (most - 2) * length))
    return w - lr * r * mean * math.sqrt(1 - betas[1] ** t) / (np.sqrt(s["v"]) + eps)


CASES = [
    (sgd, {}),
    (sgd, {"lr": 0.05, "momentum": 0.9}),
    (sgd, {"lr": 0.02, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    (adam, {}),
    (adam, {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.1}),
    (adam, {"lr": 0.1, "betas": [0.5, 0.3], "amsgrad": True}),
    (adam, {"lr": 0.1, "eps": 1e-3, "weight_decay": 0.1, "bias_correction": False}),
    (adam, {"lr": 0.1, "betas": [0.5, 0.3], "amsgrad": True, "bias_correction": False}),
    (adamw, {}),
    (adamw, {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.5}),
    (rmsprop, {}),
    (rmsprop, {"lr": 0.01, "alpha": 0.9, "momentum": 0.7, "eps": 1e-3, "centered": True, "weight_decay": 0.1}),
    (adagrad, {}),
    (adagrad, {"lr": 0.5, "lr_decay": 0.2, "eps": 1e-3, "weight_decay": 0.1}),
    (momentum, {}),
    (momentum, {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
    (nesterov, {}),
    (nesterov, {"lr": 0.05, "momentum": 0.5}),
    (adadelta, {}),
    (adadelta, {"lr": 2.0, "rho": 0.95, "eps": 1e-3, "weight_decay": 0.1}),
    (radam, {}),  # both of its steps: the averages rest on five gradients from the sixth on
    (radam, {"lr": 0.1, "betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize(("reference", "settings"), CASES)
def test_steps_are_those_of_the_formula(reference, settings, dtype, rtol):
    found, _ = trained(reference.__name__, settings, dtype)
    np.testing.assert_allclose(found, path(reference, settings), rtol=rtol, atol=rtol / 100)


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_can_be_saved_and_goes_on_as_if_nothing_were(name):
    _, first = trained(name, {}, torch.float64)
    parameters = [torch.nn.Parameter(p.detach().clone()) for p in first.param_groups[0]["params"]]
    second = built(name, {}, parameters, seed=1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(2):
        for optimizer in (first, second):
            for p in optimizer.param_groups[0]["params"]:
                p.grad = p.detach() + 1
            optimizer.step()
    for a, b in zip(first.param_groups[0]["params"], parameters, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NAMES)
def test_a_parameter_without_a_gradient_stays(name):
    moved, unused = (torch.nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    optimizer = built(name, {}, [unused, moved])
    for _ in range(3):
        moved.grad = torch.ones(2, 3)
        optimizer.step()
    assert torch.equal(unused, torch.ones(2, 3))
    assert not torch.equal(moved, torch.ones(2, 3))


@pytest.mark.parametrize("name", sorted({*NAMES} - {"noisy_gd"}))  # draws: never shared
def test_one_steps_many_members_if_it_is_elementwise(name):
    shapes = {"w": (4, 5), "b": (3,)}
    weights = Weights({n: torch.zeros(3, 32) for n in shapes}, {n: (shape, True) for n, shape in shapes.items()})
    found = probe_sharing(weights, list(shapes), lambda leaves: built(name, {}, [*leaves.values()]))
    assert found.by == ("member" if name == "muon" else "stack"), found


@pytest.mark.parametrize(("settings", "factor"), [({}, 1), ({"bias_correction": False}, 0.1 / math.sqrt(0.001))])
def test_the_first_step_of_adam(settings, factor):
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = built("adam", settings, [p])
    p.grad = torch.tensor([1e-2, -1.0, 1e2], dtype=torch.float64)
    optimizer.step()
    np.testing.assert_allclose(p.detach(), 1e-3 * factor * np.array([-1, 1, -1]), rtol=1e-4, atol=1e-7)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(HarnessError, match=r"optimizer.nesterov=true wants optimizer.momentum > 0"):
        make("optimizer", "sgd", {"nesterov": True}, params=[torch.nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_any_shape_take_a_step(name, shape):
    p = torch.nn.Parameter(torch.ones(shape))
    optimizer = built(name, {}, [p])
    (group,) = optimizer.param_groups
    lr = group["lr"]
    p.grad = torch.ones(shape)
    optimizer.step()
    assert p.shape == shape
    assert bool((p < 1).all())
    assert group["lr"] == lr
