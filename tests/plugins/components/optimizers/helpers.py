"""What the optimizers' tests share: a curved function, and the path that an optimizer takes on it."""

import numpy as np
import torch

from harness.config.seeds import generator
from harness.registry import catalogue
from tests.plugins.components.helpers import make

NAMES = [  # those of torch are compared with torch's own classes in test_torch_bridge, those with closures in theirs
    row["name"]
    for row in catalogue.current()
    if (row["kind"], row["plugin"]) == ("optimizer", "harness")
    and not row["name"].startswith("torch_")
    and not row["traits"].get("closure")
]
START = np.array([1.0, -2.0, 0.5, 0.0])
STEPS = 8


def gradient(w, t):
    """Of a curved function that changes from step to step."""
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
    """The points of a formula (w, gradient, state, number of the step) -> w."""
    w, state, found = START, {}, []
    for t in range(1, STEPS + 1):
        w = reference(w, gradient(w, t), state, t, **settings)
        found.append(w)
    return found
