"""A curved function, and the path of an optimizer on it."""

import numpy as np
import torch

from harness.config.seeds import generator
from harness.registry import catalogue
from tests.plugins.components.helpers import make

NAMES = [  # those of torch are compared with torch's classes in test_torch_bridge, those with closures in test_closure
    row["name"]
    for row in catalogue.current()
    if (row["kind"], row["plugin"]) == ("optimizer", "harness")
    and not row["name"].startswith("torch_")
    and not row["traits"].get("closure")
]
START = np.array([1.0, -2.0, 0.5, 0.0])
STEPS = 8


def gradient(w, t):
    """Return the gradient of a curved function that changes at each step."""
    return np.array([1.0, 10.0, 0.1, 3.0]) * w + np.sin(t + np.arange(4))


def built(name, settings, parameters, seed=0):
    named = [(str(i), p) for i, p in enumerate(parameters)]
    offers = {"params": parameters, "named_params": named, "total_steps": STEPS, "generator": generator(seed)}
    return make("optimizer", name, settings, **offers)


def trained(name, settings, dtype):
    """The points of an optimizer of ours, and the optimizer."""
    return walked(lambda parameters: built(name, settings, parameters), dtype)


def walked(make_optimizer, dtype):
    """The points of STEPS steps [STEPS, 4], and the optimizer, whose parameters are two parts of the point."""
    parameters = [torch.nn.Parameter(torch.tensor(part, dtype=dtype)) for part in (START[:1], START[1:])]
    optimizer = make_optimizer(parameters)
    found = []
    for t in range(1, STEPS + 1):
        w = torch.cat([p.detach() for p in parameters]).double().numpy()
        g = torch.tensor(gradient(w, t), dtype=dtype)
        parameters[0].grad, parameters[1].grad = g[:1], g[1:]
        optimizer.step()
        found.append(torch.cat([p.detach() for p in parameters]).double().numpy())
    return np.stack(found), optimizer


def path(reference, settings):
    """Return the points of a formula (w, gradient, state, step) -> w."""
    w, state, points = START, {}, []
    for t in range(1, STEPS + 1):
        w = reference(w, gradient(w, t), state, t, **settings)
        points.append(w)
    return points
