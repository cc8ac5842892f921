"""Conformance checks of optimizers and schedulers."""

from __future__ import annotations

import copy
import io
from typing import Any

import torch

from harness.system.errors import one_line
from harness.testing.check import check
from harness.testing.component_case import Case, Fault, Inapplicable, expect
from harness.testing.exercise import follow, scheduled
from harness.testing.least_squares import STEPS, LeastSquares


@check("optimizer", needs=("repeats",))
def descends(case: Case) -> None:
    """The optimizer lowers the loss of a small least-squares problem."""
    problem = LeastSquares(case)
    before = problem.evaluated()
    problem.steps(STEPS)
    after = problem.evaluated()
    expect(after < before, f"the least-squares loss is {before:.4g} at first and {after:.4g} after {STEPS} steps")


@check("optimizer", "scheduler", needs=("repeats", "company"))
def resumes(case: Case) -> None:
    """After its state_dict was saved and loaded, it continues bit-equal to an uninterrupted run."""
    if case.kind == "scheduler":
        _resumed_schedule(case)
        return
    uninterrupted = LeastSquares(case)
    uninterrupted.steps(6)
    first = LeastSquares(case)
    first.steps(3)
    state, weights = _saved_and_loaded(first.optimizer.state_dict()), first.weights()
    second = LeastSquares(case)
    second.resume(weights, state)
    second.steps(3)
    same = all(torch.equal(a, b) for a, b in zip(uninterrupted.weights(), second.weights(), strict=True))
    expect(same, "continued from its state_dict after 3 of 6 steps, its weights differ: the state_dict is incomplete")


def _saved_and_loaded(state: Any) -> Any:
    """Save and load a state as a checkpoint does."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    try:
        return torch.load(file, weights_only=True)
    except Exception as error:
        reason = one_line(error)[:200]
        raise Fault(f"its state_dict holds more than tensors and plain data, and cannot be loaded: {reason}") from error


def _resumed_schedule(case: Case) -> None:
    def rates(optimizer: Any, scheduler: Any, first: int, last: int) -> list[float]:
        lrs = []
        for _ in range(first, last):
            follow(optimizer, scheduler, 1.0)
            lrs.append(float(optimizer.param_groups[0]["lr"]))
        return lrs

    uninterrupted = rates(*scheduled(case), 0, 20)
    optimizer, scheduler = scheduled(case)
    if scheduler is None:
        raise Inapplicable("it does not change the learning rate")
    rates(optimizer, scheduler, 0, 10)
    again, second = scheduled(case)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    second.load_state_dict(_saved_and_loaded(scheduler.state_dict()))
    expect(
        rates(again, second, 10, 20) == uninterrupted[10:],
        "continued from its state_dict, it sets other learning rates",
    )


@check("optimizer", needs=("repeats",))
def ungraded(case: Case) -> None:
    """A parameter without a gradient stays unchanged, and the others are updated."""
    if not case.trait("gradient", True):
        raise Inapplicable("it uses no gradients (trait gradient=False)")
    problem = LeastSquares(case, unused=True)
    before = problem.weights()
    problem.steps(3)
    weight, _, unused = (torch.equal(a, b) for a, b in zip(before, problem.weights(), strict=True))
    expect(not weight, "if one parameter has no gradient, it updates none")
    expect(unused, "it updates a parameter that has no gradient")
