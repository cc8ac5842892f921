"""What is measured once, when a run has ended: of its history, or of its model and its data."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Call
from harness.training.fit import Run

# The noise of what is made at the end is that of no step, nor of evaluation.
PICTURES, METRICS, INSIDE = 1 << 42, 1 << 43, 1 << 44


def trained(run: Run) -> nn.Module:
    """A copy, on the CPU, of a finished run's model as it is evaluated."""
    assert run.state.weights is not None
    model = copy.deepcopy(run.parts.model).cpu()  # of a stack it still has its initial weights
    model.load_state_dict(run.state.weights)
    return model.eval()


def calling(model: nn.Module) -> Call:
    """A model as a task calls it."""

    def call(*given: Any, method: str = "forward") -> Any:
        return model(*given) if method == "forward" else getattr(model, method)(*given)

    return call


def measure_at_end(run: Run) -> None:
    """Measures what is measured once, of a run that has ended. One without weights (it diverged) is judged by its
    history alone.

    A value is a function of the history, of the weights and of the seed: it is the same by whatever path these were
    trained, and every metric draws as if there were no other.
    """
    member = run.state
    offers = {
        "history": member.history,
        "directions": {name: member.higher_is_better(name) for name in run.parts.measured},
        "dataset": run.dataset,
    }
    for name, metric in run.parts.at_end.items():
        if "model" in metric.asks:
            if member.weights is None:
                continue
            offers["model"] = trained(run)
        with torch.no_grad(), Redirect(Noise(keys(torch.tensor(run.plan.seed), METRICS))):
            member.record_final(name, float(metric.measure(**offers)))
