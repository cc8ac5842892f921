"""Conformance checks of values: losses, moments of initial weights, and metrics on known cases."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import pytree
from harness.modeling.regularizer import Regularizer, does
from harness.testing.check import check
from harness.testing.component_case import Case, Inapplicable, drawn, expect
from harness.testing.exercise_samples import make_metric, measured
from harness.testing.fixtures import predictions, tasks_of
from harness.training.metric_value import metric_value

LARGE = 30.0  # factor that gives the logits of a very confident network
MAX_ERRORS = 5.0  # standard errors that a moment may differ from the claimed one


@check("loss", "regularizer", needs=("builds",))
def scalar(case: Case) -> None:
    """The loss is one finite number, also for predictions that are far off."""
    if case.kind == "regularizer":
        _penalty(case)
        return
    for task, prediction, target in predictions(case):
        for scale in (1.0, LARGE):
            # do not scale several outputs (mean and log variance), which do not grow together
            scaled = prediction * scale if isinstance(prediction, Tensor) else prediction
            losses = case.compute()(scaled, target)
            for name, value in losses.items() if isinstance(losses, dict) else [("", losses)]:
                label = f"for the task {task} " + (f"its loss of {name} " if name else "it ")
                expect(isinstance(value, Tensor), f"{label}is {type(value).__name__}, not a tensor")
                expect(value.ndim == 0, f"{label}has the shape {list(value.shape)}, but a loss is one number")
                far = " for predictions that are far off" if scale != 1 else ""
                expect(torch.isfinite(value), f"{label}is {float(value)}{far}")


def _penalty(case: Case) -> None:
    regularizer: Regularizer = case.make()
    if not does(regularizer, "penalty"):
        raise Inapplicable("it adds nothing to the loss")
    for scale in (0.0, 1.0, LARGE):
        params = {name: scale * drawn((4, 3), name) for name in ("a", "b")}
        value = regularizer.penalty(params)
        expect(isinstance(value, Tensor) and value.ndim == 0, "its penalty is not a scalar tensor")
        expect(torch.isfinite(value), f"its penalty is {float(value)} for weights of about {scale:g}")


@check("loss", needs=("scalar", "devices"))
def mean(case: Case) -> None:
    """The loss is a mean over the batch: a batch and the same batch twice have the same loss."""
    for task, prediction, target in predictions(case, torch.float64):
        once, twice = (
            [float(v) for v in pytree.tree_leaves(case.compute()(*(_repeated(t, n) for t in (prediction, target))))]
            for n in (1, 2)
        )
        same = all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(once, twice, strict=True))
        expect(same, f"for the task {task} it is {once[0]:.6g} for a batch and {twice[0]:.6g} for the batch twice")


def _repeated(tree: Any, times: int) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: torch.cat([t] * times) if t.ndim else t, tree)


@check("initializer", needs=("builds", "repeats"))
def moments(case: Case) -> None:
    """The weights have the declared mean and standard deviation (traits `mean` and `std`)."""
    traits = case.entry["traits"]
    if "std" not in traits:
        raise Inapplicable("it declares no standard deviation (trait std)")
    for shape in ((300, 400), (64, 32, 3, 3)):
        size = math.prod(shape[2:])
        known = {"fan_in": shape[1] * size, "fan_out": shape[0] * size, "gain": 1.5}
        claimed = float(case.trait("mean", 0.0, **known)), float(case.trait("std", **known))
        weight, bias = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape[0], dtype=torch.float64)
        case.make(weight=weight, bias=bias, **known)
        actual = float(weight.mean()), float(weight.std())
        error = MAX_ERRORS * max(claimed[1], 1e-12) / math.sqrt(weight.numel())
        for label, claim, value in zip(("mean", "standard deviation"), claimed, actual, strict=True):
            expect(
                abs(value - claim) <= error + 1e-6 * abs(claim),
                f"the {label} of a weight {list(shape)} is {value:.5g}, but {claim:.5g} is declared",
            )


@check("metric", needs=("builds", "repeats"))
def accumulates(case: Case) -> None:
    """The metric gives the same value for a batch and for its two halves, and it can be reset."""
    for task in tasks_of(case):
        whole, metric = measured(case, task)
        parts, _ = measured(case, task, parts=2)
        expect(
            torch.allclose(whole.double(), parts.double(), rtol=1e-5, atol=1e-6, equal_nan=True),
            f"for the task {task} it measures {float(whole):.6g} for a batch and {float(parts):.6g} for its halves: "
            "accumulate sums, and divide at the end",
        )
        metric.reset()
        expect(not metric.update_called, "reset does not clear its state")


@check("metric", needs=("builds", "repeats"))
def cases(case: Case) -> None:
    """The metric gives the declared values of its cases (trait `cases`: prediction, target, value)."""
    declared = case.function.__harness__.traits.get("cases", ())  # type: ignore[attr-defined]
    if not declared:
        raise Inapplicable("it declares no cases of (prediction, target, value) (trait cases)")
    for prediction, target, value in declared:
        x, y = torch.tensor(prediction), torch.tensor(target)
        metric = make_metric(case, tasks_of(case)[0], x.shape[-1])
        metric.update(x, y)
        result = metric_value(metric)
        expect(
            math.isclose(result, value, rel_tol=1e-5, abs_tol=1e-6),
            f"for {prediction} against {target} it measures {result:.6g}, but {value:.6g} is declared",
        )
