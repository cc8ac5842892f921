"""What a diagnostic finds of a small network, measured as the harness does; see `behave`."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness._compat.torch import pytree
from harness.modeling.diagnostic import Diagnostic, Embedding, Histogram, Image, PrCurve, Text
from harness.testing.component_case import Case, drawn, expect, linear, redirected
from harness.testing.fixtures import Fixtures, bench, tasks_of
from harness.training.diagnostics.inputs import DiagnosticInputs, Step
from harness.training.diagnostics.views import ModuleView

COUNT = 32  # samples that are looked at
AT_A_STEP = (Tensor, float, int, Histogram, Image)
AT_THE_END = (*AT_A_STEP, Text, Embedding, PrCurve)


def diagnostic(case: Case) -> Any:
    made = case.make()
    expect(isinstance(made, Diagnostic), f"it returns {type(made).__name__}, not a harness.Diagnostic")
    return [_found(made, _small(bench(case, task))) for task in tasks_of(case)[: 1 if case.brief else None]]


def _small(place: Fixtures) -> Fixtures:
    """With a model of few parameters, whose modules are what diagnostics look at."""
    width, outputs = math.prod(place.dataset.inputs), place.task.outputs(place.dataset)
    model = nn.Sequential(nn.Flatten(), linear(width, 5), nn.SiLU(), linear(5, outputs))
    place.model = place.task.prepare(model, place.dataset)
    return place


def _found(made: Diagnostic, place: Fixtures) -> dict[str, Any]:
    given = _given(made, place)
    kept = pytree.tree_map_only(Tensor, lambda t: t.clone(), given)
    with redirected():
        if made.when == "epoch":
            found = made.measure(**{ask: given[ask] for ask in made.asks})
        else:
            found = DiagnosticInputs(_scene(place), COUNT, None).measure(made, given)
    same = zip(pytree.tree_leaves(given), pytree.tree_leaves(kept), strict=True)
    changed = any(isinstance(t, Tensor) and not torch.equal(t, was) for t, was in same)
    expect(not changed, "it changes what it is handed: others are handed it too")
    expect(isinstance(found, Mapping), f"it returns {type(found).__name__}, not {{tag: what was found}}")
    allowed = AT_THE_END if made.when == "end" else AT_A_STEP
    for tag, value in found.items():
        what = f"what it finds as {tag!r}"
        expect(isinstance(value, allowed), f"{what} is a {type(value).__name__}, which is written nowhere")
        if isinstance(value, Tensor | float | int):
            expect(torch.as_tensor(value).ndim == 0, f"{what} is no scalar: {list(torch.as_tensor(value).shape)}")
            expect(not math.isnan(value), f"{what} is no number")
    return dict(found)


def _scene(place: Fixtures) -> ModuleView:
    return ModuleView(place.task, place.model.train(), place.dataset, 0)


def _given(made: Diagnostic, place: Fixtures) -> dict[str, Any]:
    """What it asks for, of a step of gradient descent with a learning rate of 0.1."""
    scene = _scene(place)
    params = {name: p for name, p in place.model.named_parameters() if p.requires_grad}
    total = sum(place.losses().values(), torch.zeros(()))
    grads = dict(zip(params, torch.autograd.grad(total, list(params.values())), strict=True))
    previous = {name: p.detach() + 0.1 * grads[name] for name, p in params.items()}
    start = {name: p + 0.1 * drawn(tuple(p.shape), "start", name) for name, p in previous.items()}
    given, troubles = DiagnosticInputs(scene, COUNT, None).compute(
        Step(5, previous, start, grads, 0.1, 16, 1), made.asks
    )
    for error in troubles.values():
        raise error
    row = {"train/loss": 1.0, "val/loss": 1.5, "val/accuracy": 0.5}
    given |= {
        "dataset": place.dataset,
        "task": place.task,
        "history": [row, row],
        "machine": {"samples_per_s": 1000.0, "waiting": 0.1, "cores": 1.0, "memory": 3e8},
        "model": copy.deepcopy(place.model).eval(),
    }
    return {
        name: value for name, value in given.items() if name not in ("history", "machine", "model") or name in made.asks
    }
