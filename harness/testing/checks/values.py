"""Checks of numbers: scalars, means, moments, and what a metric gives on known cases."""

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

LARGE = 30.0  # times: logits of a network that is very sure
ERRORS = 5.0  # standard errors that chance may take a moment from what is claimed


@check("loss", "regularizer", needs=("builds",))
def scalar(case: Case) -> None:
    """What it gives is one finite number, also for predictions that are far off."""
    if case.kind == "regularizer":
        _penalty(case)
        return
    for task, prediction, target in predictions(case):
        for scale in (1.0, LARGE):
            # what a model returns several of (mean and log variance) does not grow together
            scaled = prediction * scale if isinstance(prediction, Tensor) else prediction
            found = case.compute()(scaled, target)
            for name, value in found.items() if isinstance(found, dict) else [("", found)]:
                what = f"for the task {task} " + (f"its loss of {name} " if name else "")
                expect(isinstance(value, Tensor), f"{what}it returns {type(value).__name__}, not a tensor")
                expect(value.ndim == 0, f"{what}has the shape {list(value.shape)}, and a loss is one number")
                far = " of predictions that are far off" if scale != 1 else ""
                expect(torch.isfinite(value), f"{what}is {float(value)}{far}")


def _penalty(case: Case) -> None:
    made: Regularizer = case.make()
    if not does(made, "penalty"):
        raise Inapplicable("it adds nothing to the loss")
    for scale in (0.0, 1.0, LARGE):
        params = {name: scale * drawn((4, 3), name) for name in ("a", "b")}
        value = made.penalty(params)
        expect(isinstance(value, Tensor) and value.ndim == 0, "its penalty is no scalar tensor")
        expect(torch.isfinite(value), f"its penalty is {float(value)} for weights of about {scale:g}")


@check("loss", needs=("scalar", "devices"))
def mean(case: Case) -> None:
    """It is a mean over the batch: a batch that stands twice has the same loss."""
    for task, prediction, target in predictions(case, torch.float64):
        once, twice = (
            [float(v) for v in pytree.tree_leaves(case.compute()(*(_repeated(t, n) for t in (prediction, target))))]
            for n in (1, 2)
        )
        same = all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(once, twice, strict=True))
        expect(same, f"for the task {task} it is {once[0]:.6g} of a batch and {twice[0]:.6g} of the batch twice")


def _repeated(tree: Any, times: int) -> Any:
    return pytree.tree_map_only(Tensor, lambda t: torch.cat([t] * times) if t.ndim else t, tree)


@check("initializer", needs=("builds", "repeats"))
def moments(case: Case) -> None:
    """Weights have the mean and the standard deviation that it claims (traits `mean` and `std`)."""
    traits = case.entry["traits"]
    if "std" not in traits:
        raise Inapplicable("it claims no standard deviation (trait std)")
    for shape in ((300, 400), (64, 32, 3, 3)):
        field = math.prod(shape[2:])
        known = {"fan_in": shape[1] * field, "fan_out": shape[0] * field, "gain": 1.5}
        claimed = float(case.trait("mean", 0.0, **known)), float(case.trait("std", **known))
        weight, bias = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape[0], dtype=torch.float64)
        case.make(weight=weight, bias=bias, **known)
        found = float(weight.mean()), float(weight.std())
        error = ERRORS * max(claimed[1], 1e-12) / math.sqrt(weight.numel())
        for what, claim, value in zip(("mean", "standard deviation"), claimed, found, strict=True):
            expect(
                abs(value - claim) <= error + 1e-6 * abs(claim),
                f"of a weight {list(shape)} the {what} is {value:.5g}, and {claim:.5g} is claimed",
            )


@check("metric", needs=("builds", "repeats"))
def accumulates(case: Case) -> None:
    """What it is given in two parts it measures like the whole, and again after a reset."""
    for task in tasks_of(case):
        whole, made = measured(case, task)
        parts, _ = measured(case, task, parts=2)
        expect(
            torch.allclose(whole.double(), parts.double(), rtol=1e-5, atol=1e-6, equal_nan=True),
            f"for the task {task} it measures {float(whole):.6g} of a whole and {float(parts):.6g} of the same in two "
            "parts: sums are to be kept, and divided in the end",
        )
        made.reset()
        expect(not made.update_called, "reset does not forget what it was given")


@check("metric", needs=("builds", "repeats"))
def cases(case: Case) -> None:
    """Of the cases that it gives (trait `cases`: prediction, target, value) it measures what they say."""
    given = case.function.__harness__.traits.get("cases", ())  # type: ignore[attr-defined]
    if not given:
        raise Inapplicable("it gives no cases of (prediction, target, value) to be measured by (trait cases)")
    for prediction, target, value in given:
        x, y = torch.tensor(prediction), torch.tensor(target)
        made = make_metric(case, tasks_of(case)[0], x.shape[-1])
        made.update(x, y)
        found = float(made.compute())
        expect(
            math.isclose(found, value, rel_tol=1e-5, abs_tol=1e-6),
            f"of {prediction} against {target} it measures {found:.6g}, and {value:.6g} is right",
        )
