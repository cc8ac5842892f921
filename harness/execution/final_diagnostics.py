"""Diagnostics that are measured once, when a run has ended: of its trained model and its data, on the CPU."""

from __future__ import annotations

import time
from typing import Any

import torch

from harness.execution.final_metrics import trained
from harness.modeling.diagnostic import Diagnostic
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.errors import one_line, reraise_interrupt
from harness.training.diagnostics.inputs import DiagnosticInputs, Step
from harness.training.diagnostics.runner import probe_size, to_host
from harness.training.diagnostics.views import ModuleView
from harness.training.fit import Run

DIAGNOSED = 1 << 45  # the noise of what is measured here is that of nothing else


def look_at_end(run: Run) -> dict[str, Any]:
    """What the run's diagnostics of the end find, {tag: value}. The member notes what share of the training time each
    took, and what went wrong with which: that is the diagnostic's, and never the run's.

    Nothing for a run that ended without weights. Whoever asks for these waits for them: no budget holds them back.
    """
    member, found = run.state, dict[str, Any]()
    wanted = {name: d for name, d in run.parts.diagnostics.items() if d.when == "end"}
    if member.weights is None:
        return found
    for name, diagnostic in wanted.items():
        began = time.perf_counter()
        try:
            values = _measured(run, diagnostic)
            found |= to_host({name: values}, None)[0]
        except BaseException as error:
            reraise_interrupt(error)
            member.diagnostics[name] = {"failed": one_line(error)}
        else:
            share = (time.perf_counter() - began) / max(member.share_s, 1e-9)
            member.diagnostics[name] = {"looks": 1, "cost_share": round(share, 6)}
    return found


def _measured(run: Run, diagnostic: Diagnostic) -> dict[str, Any]:
    """One by itself: a function of the weights and the seed, whatever else is measured."""
    member, seed = run.state, run.plan.seed
    scene = ModuleView(run.parts.task, trained(run).train(), run.dataset, seed)
    seeing = DiagnosticInputs(scene, probe_size(run.parts.probe.activations), None)
    step = Step(member.steps, {}, {}, {}, 0.0, run.plan.samples, run.plan.each)
    given, troubles = seeing.compute(step, diagnostic.asks)
    for ask in sorted(diagnostic.asks & troubles.keys()):
        raise troubles[ask]
    given |= {"dataset": run.dataset, "task": run.parts.task, "history": member.history}
    if "model" in diagnostic.asks:
        given["model"] = trained(run)
    with Redirect(Noise(keys(torch.tensor(seed), DIAGNOSED))):
        return seeing.measure(diagnostic, given)
