"""Metrics and diagnostics that are measured once, after training, of the history, the model and the data of a run."""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from torch import nn

from harness.modeling.diagnostic import Diagnostic
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.errors import one_line, reraise_interrupt
from harness.training.diagnostics.inputs import DiagnosticInputs, Step
from harness.training.diagnostics.runner import probe_size, to_host
from harness.training.diagnostics.views import ModuleView
from harness.training.fit import Run

# Streams of noise that no step and no evaluation draws from.
PICTURES, METRICS, INSIDE, DIAGNOSED = 1 << 42, 1 << 43, 1 << 44, 1 << 45


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
        if "dataset" in metric.asks and not run.plan.test:
            continue
        if "model" in metric.asks:
            if member.weights is None:
                continue
            offers["model"] = trained(run)
        with torch.no_grad(), Redirect(Noise(keys(torch.tensor(run.plan.seed), METRICS))):
            member.record_final(name, float(metric.measure(**offers)))


def diagnose_at_end(run: Run) -> dict[str, Any]:
    """Measure the diagnostics of a trained run that are measured at the end.

    The run's state notes the share of the training time that each took. An exception of a diagnostic is noted there
    too, and is no failure of the run. No budget limits these diagnostics.

    Returns:
        The values by tag; none for a run that ended without weights.
    """
    member, values = run.state, dict[str, Any]()
    wanted = {name: d for name, d in run.parts.diagnostics.items() if d.when == "end"}
    if member.weights is None:
        return values
    for name, diagnostic in wanted.items():
        began = time.perf_counter()
        try:
            values |= to_host({name: _measured(run, diagnostic)}, None)[0]
        except BaseException as error:
            reraise_interrupt(error)
            member.diagnostics[name] = {"failed": one_line(error)}
        else:
            share = (time.perf_counter() - began) / max(member.share_s, 1e-9)
            member.diagnostics[name] = {"looks": 1, "cost_share": round(share, 6)}
    return values


def _measured(run: Run, diagnostic: Diagnostic) -> dict[str, Any]:
    """Measure one diagnostic: a function of the weights and the seed, whatever else is measured."""
    member, seed = run.state, run.plan.seed
    view = ModuleView(run.parts.task, trained(run).train(), run.dataset, seed)
    inputs = DiagnosticInputs(view, probe_size(run.parts.probe.activations), None)
    step = Step(member.steps, {}, {}, {}, 0.0, run.plan.samples, run.plan.each)
    offers, errors = inputs.compute(step, diagnostic.asks)
    for ask in sorted(diagnostic.asks & errors.keys()):
        raise errors[ask]
    offers |= {"dataset": run.dataset, "task": run.parts.task, "history": member.history}
    if "model" in diagnostic.asks:
        offers["model"] = trained(run)
    with Redirect(Noise(keys(torch.tensor(seed), DIAGNOSED))):
        return inputs.measure(diagnostic, offers)
