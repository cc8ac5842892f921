"""Metrics that are measured once, after training: of a run's history, or of its model and its data."""

from __future__ import annotations

import copy

import torch
from torch import nn

from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.training.fit import Run

# Streams of noise that no step and no evaluation draws from.
PICTURES, METRICS, INSIDE = 1 << 42, 1 << 43, 1 << 44


def trained(run: Run) -> nn.Module:
    """Return a copy of a run's trained model, on the CPU, in evaluation mode."""
    assert run.state.weights is not None
    model = copy.deepcopy(run.parts.model).cpu()  # of a stack it still has its initial weights
    model.load_state_dict(run.state.weights)
    return model.eval()


def measure_at_end(run: Run) -> None:
    """Measure the metrics of a run that are measured once. One that diverged has no weights: only metrics of its
    history are measured.

    A value is a function of the history, the weights and the seed. It does not depend on the path of training, nor on
    the other metrics.
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
