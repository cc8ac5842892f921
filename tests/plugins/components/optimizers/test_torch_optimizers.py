"""Each optimizer of torch against torch's own class, several steps; and what holds for all."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from harness.system.errors import HarnessError
from harness.training.vectorized.sharing import probe_sharing
from harness.training.vectorized.stack import Weights
from tests.plugins.components.helpers import make
from tests.plugins.components.optimizers.helpers import NAMES, built, path, trained, walked

THEIRS = {  # torch's own, with our defaults
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "nesterov": partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True),
    "adam": partial(torch.optim.Adam, lr=1e-3, betas=(0.9, 0.999), eps=1e-8),
    "adamw": partial(torch.optim.AdamW, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    "rmsprop": partial(torch.optim.RMSprop, lr=1e-3, alpha=0.99, eps=1e-8),
    "adagrad": partial(torch.optim.Adagrad, lr=1e-2, eps=1e-10),
    "adadelta": partial(torch.optim.Adadelta, lr=1.0, rho=0.9, eps=1e-6),
    "radam": partial(torch.optim.RAdam, lr=1e-3, betas=(0.9, 0.999), eps=1e-8),
}
CASES = [
    ("sgd", {"lr": 0.05, "momentum": 0.9}),
    ("sgd", {"lr": 0.02, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
    ("adam", {"lr": 0.1, "betas": [0.5, 0.9], "eps": 1e-3, "weight_decay": 0.1}),
    ("adam", {"lr": 0.1, "betas": [0.5, 0.3], "amsgrad": True}),
    ("adamw", {"lr": 0.1, "betas": [0.8, 0.9], "eps": 1e-4, "weight_decay": 0.5}),
    ("rmsprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.7, "eps": 1e-3, "centered": True, "weight_decay": 0.1}),
    ("adagrad", {"lr": 0.5, "lr_decay": 0.2, "eps": 1e-3, "weight_decay": 0.1}),
    ("momentum", {"lr": 0.05, "momentum": 0.5, "weight_decay": 0.1}),
    ("nesterov", {"lr": 0.05, "momentum": 0.5}),
    ("adadelta", {"lr": 2.0, "rho": 0.95, "eps": 1e-3, "weight_decay": 0.1}),
    ("radam", {"lr": 0.1, "betas": [0.8, 0.95], "eps": 1e-3, "weight_decay": 0.1}),
]


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-9), (torch.float32, 2e-4)])
@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in THEIRS), *CASES])
def test_steps_are_torchs(name, settings, dtype, rtol):
    found, _ = trained(name, settings, dtype)
    expected, _ = walked(lambda parameters: THEIRS[name](parameters, **settings), dtype)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol / 100)


def adam_as_it_is(w, g, s, t, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, amsgrad=False):
    g = g + weight_decay * w
    s["m"] = betas[0] * s.get("m", 0) + (1 - betas[0]) * g
    s["v"] = betas[1] * s.get("v", 0) + (1 - betas[1]) * g**2
    s["top"] = np.maximum(s.get("top", 0), s["v"])
    return w - lr * s["m"] / (np.sqrt(s["top"] if amsgrad else s["v"]) + eps)


@pytest.mark.parametrize("settings", [{"eps": 1e-3, "weight_decay": 0.1}, {"betas": [0.5, 0.3], "amsgrad": True}])
def test_adam_without_correction_takes_its_averages_as_they_are(settings):
    found, _ = trained("adam", {"lr": 0.1, "bias_correction": False, **settings}, torch.float64)
    np.testing.assert_allclose(found, path(adam_as_it_is, {"lr": 0.1, **settings}), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"noisy_gd"}))  # it draws, so it is never shared
def test_elementwise_optimizer_is_shared_by_a_stack(name):
    shapes = {"w": (4, 5), "b": (3,)}
    weights = Weights({n: torch.zeros(3, 32) for n in shapes}, {n: (shape, True) for n, shape in shapes.items()})
    verdict = probe_sharing(weights, list(shapes), lambda leaves: built(name, {}, [*leaves.values()]))
    assert verdict.by == ("member" if name == "muon" else "stack"), verdict


@pytest.mark.parametrize(("settings", "factor"), [({}, 1), ({"bias_correction": False}, 0.1 / math.sqrt(0.001))])
def test_first_step_of_adam_is_the_learning_rate(settings, factor):
    p = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = built("adam", settings, [p])
    p.grad = torch.tensor([1e-2, -1.0, 1e2], dtype=torch.float64)
    optimizer.step()
    np.testing.assert_allclose(p.detach(), 1e-3 * factor * np.array([-1, 1, -1]), rtol=1e-4, atol=1e-7)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(HarnessError, match=r"optimizer.nesterov=true requires optimizer.momentum > 0"):
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
