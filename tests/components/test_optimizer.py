"""Each optimizer against its update written by hand in numpy, several steps."""

import copy
import math

import numpy as np
import pytest
import torch

from harness.errors import HarnessError
from tests.components.helpers import make

START = np.array([1.0, -2.0, 0.5, 0.0])
STEPS = 6


def gradient(w, t):
    """Of a curved function that changes from step to step."""
    return np.array([1.0, 10.0, 0.1, 3.0]) * w + np.sin(t + np.arange(4))


def sgd(w, g, s, t, lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    s["v"] = momentum * s.get("v", 0) + g
    return w - lr * (g + momentum * s["v"] if nesterov else s["v"])


def adam(w, g, s, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False):
    g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    v = (s["top"] if amsgrad else s["v"]) / (1 - betas[1] ** t)
    return w - lr * s["m"] / (1 - betas[0] ** t) / (np.sqrt(v) + eps)


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


CASES = [
    (sgd, {}),
    (sgd, {"lr": 0.05, "momentum": 0.9}),
    (sgd, {"lr": 0.02, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    (adam, {}),
    (adam, {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.1}),
    (adam, {"lr": 0.1, "betas": [0.5, 0.3], "amsgrad": True}),
    (adamw, {}),
    (adamw, {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.5}),
    (rmsprop, {}),
    (rmsprop, {"lr": 0.01, "alpha": 0.9, "momentum": 0.7, "eps": 1e-3, "centered": True, "weight_decay": 0.1}),
    (adagrad, {}),
    (adagrad, {"lr": 0.5, "lr_decay": 0.2, "eps": 1e-3, "weight_decay": 0.1}),
]


def trained(name, settings, dtype):
    parameters = [torch.nn.Parameter(torch.tensor(part, dtype=dtype)) for part in (START[:1], START[1:])]
    named = [(str(i), p) for i, p in enumerate(parameters)]
    optimizer = make("optimizer", name, settings, params=parameters, named_params=named, total_steps=STEPS)
    found = []
    for t in range(1, STEPS + 1):
        w = torch.cat([p.detach() for p in parameters]).double().numpy()
        g = torch.tensor(gradient(w, t), dtype=dtype)
        parameters[0].grad, parameters[1].grad = g[:1], g[1:]
        optimizer.step()
        found.append(torch.cat([p.detach() for p in parameters]).double().numpy())
    return np.stack(found), optimizer


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize(("reference", "settings"), CASES)
def test_steps_are_those_of_the_formula(reference, settings, dtype, rtol):
    found, _ = trained(reference.__name__, settings, dtype)
    w, state, expected = START, {}, []
    for t in range(1, STEPS + 1):
        w = reference(w, gradient(w, t), state, t, **settings)
        expected.append(w)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol / 100)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_an_optimizer_can_be_saved_and_goes_on_as_if_nothing_were(name):
    _, first = trained(name, {}, torch.float64)
    parameters = [torch.nn.Parameter(p.detach().clone()) for p in first.param_groups[0]["params"]]
    second = make("optimizer", name, {}, params=parameters, named_params=[], total_steps=STEPS)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for optimizer in (first, second):
        for p in optimizer.param_groups[0]["params"]:
            p.grad = p.detach() + 1
        optimizer.step()
    for a, b in zip(first.param_groups[0]["params"], parameters, strict=True):
        assert torch.equal(a, b)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(HarnessError, match=r"optimizer.nesterov=true wants optimizer.momentum > 0"):
        make("optimizer", "sgd", {"nesterov": True}, params=[torch.nn.Parameter(torch.ones(1))])


@pytest.mark.parametrize("shape", [(), (0,), (3, 2)])
@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_parameters_of_any_shape_take_a_step(name, shape):
    p = torch.nn.Parameter(torch.ones(shape))
    optimizer = make("optimizer", name, {}, params=[p], named_params=[("p", p)], total_steps=1)
    p.grad = torch.ones(shape)
    optimizer.step()
    assert p.shape == shape
    assert bool((p < 1).all())
    assert math.isclose(optimizer.param_groups[0]["lr"], optimizer.defaults["lr"])
