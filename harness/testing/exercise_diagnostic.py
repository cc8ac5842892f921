"""Measure a diagnostic on a small network in the way that a run does; see `exercise`."""

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

COUNT = 32  # samples of the measurement
AT_A_STEP = (Tensor, float, int, Histogram, Image)
AT_THE_END = (*AT_A_STEP, Text, Embedding, PrCurve)


def diagnostic(case: Case) -> Any:
    result = case.make()
    expect(isinstance(result, Diagnostic), f"it returns {type(result).__name__}, not a harness.Diagnostic")
    return [
        _measure(result, _with_small_model(bench(case, task))) for task in tasks_of(case)[: 1 if case.brief else None]
    ]


def _with_small_model(fixtures: Fixtures) -> Fixtures:
    """Replace the model by one with few parameters and the modules that diagnostics measure."""
    width, outputs = math.prod(fixtures.dataset.inputs), fixtures.task.outputs(fixtures.dataset)
    model = nn.Sequential(nn.Flatten(), linear(width, 5), nn.SiLU(), linear(5, outputs))
    fixtures.model = fixtures.task.prepare(model, fixtures.dataset)
    return fixtures


def _measure(diagnostic: Diagnostic, fixtures: Fixtures) -> dict[str, Any]:
    inputs = _inputs(diagnostic, fixtures)
    copies = pytree.tree_map_only(Tensor, lambda t: t.clone(), inputs)
    with redirected():
        if diagnostic.when == "epoch":
            values = diagnostic.measure(**{ask: inputs[ask] for ask in diagnostic.asks})
        else:
            values = DiagnosticInputs(_view(fixtures), COUNT, None).measure(diagnostic, inputs)
    pairs = zip(pytree.tree_leaves(inputs), pytree.tree_leaves(copies), strict=True)
    changed = any(isinstance(t, Tensor) and not torch.equal(t, copy) for t, copy in pairs)
    expect(not changed, "it changes its inputs in place, which others use too")
    expect(isinstance(values, Mapping), f"it returns {type(values).__name__}, not {{tag: value}}")
    allowed = AT_THE_END if diagnostic.when == "end" else AT_A_STEP
    for tag, value in values.items():
        label = f"its value of {tag!r}"
        expect(isinstance(value, allowed), f"{label} is a {type(value).__name__}, which no logger writes")
        if isinstance(value, Tensor | float | int):
            expect(torch.as_tensor(value).ndim == 0, f"{label} is not a scalar: {list(torch.as_tensor(value).shape)}")
            expect(not math.isnan(value), f"{label} is nan")
    return dict(values)


def _view(fixtures: Fixtures) -> ModuleView:
    return ModuleView(fixtures.task, fixtures.model.train(), fixtures.dataset, 0)


def _inputs(diagnostic: Diagnostic, fixtures: Fixtures) -> dict[str, Any]:
    """Return the inputs of a measurement, from a step of gradient descent with a learning rate of 0.1."""
    view = _view(fixtures)
    params = {name: p for name, p in fixtures.model.named_parameters() if p.requires_grad}
    total = sum(fixtures.losses().values(), torch.zeros(()))
    grads = dict(zip(params, torch.autograd.grad(total, list(params.values())), strict=True))
    previous = {name: p.detach() + 0.1 * grads[name] for name, p in params.items()}
    start = {name: p + 0.1 * drawn(tuple(p.shape), "start", name) for name, p in previous.items()}
    inputs, errors = DiagnosticInputs(view, COUNT, None).compute(
        Step(5, previous, start, grads, 0.1, 16, 1), diagnostic.asks
    )
    for error in errors.values():
        raise error
    row = {"train/loss": 1.0, "val/loss": 1.5, "val/accuracy": 0.5}
    inputs |= {
        "dataset": fixtures.dataset,
        "task": fixtures.task,
        "history": [row, row],
        "machine": {"samples_per_s": 1000.0, "waiting": 0.1, "cores": 1.0, "memory": 3e8},
        "model": copy.deepcopy(fixtures.model).eval(),
    }
    return {
        name: value
        for name, value in inputs.items()
        if name not in ("history", "machine", "model") or name in diagnostic.asks
    }
