"""Checks of what steps: optimizers and schedulers."""

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
    """On a small problem of least squares it goes down."""
    problem = LeastSquares(case)
    before = problem.evaluated()
    problem.steps(STEPS)
    after = problem.evaluated()
    expect(after < before, f"on least squares its loss is {before:.4g} at first and {after:.4g} after {STEPS} steps")


@check("optimizer", "scheduler", needs=("repeats", "company"))
def resumes(case: Case) -> None:
    """From its state_dict, written and read, it goes on as if it had never stopped, to the bit."""
    if case.kind == "scheduler":
        _resumed_schedule(case)
        return
    whole = LeastSquares(case)
    whole.steps(6)
    first = LeastSquares(case)
    first.steps(3)
    kept, weights = _written(first.optimizer.state_dict()), first.weights()
    second = LeastSquares(case)
    second.resumed(weights, kept)
    second.steps(3)
    same = all(torch.equal(a, b) for a, b in zip(whole.weights(), second.weights(), strict=True))
    expect(same, "gone on from its state_dict after 3 of 6 steps, it ends elsewhere: part of its state is not in there")


def _written(state: Any) -> Any:
    """As a checkpoint keeps it."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    try:
        return torch.load(file, weights_only=True)
    except Exception as error:
        said = one_line(error)[:200]
        raise Fault(
            f"its state_dict holds more than tensors and plain data, and cannot be read again: {said}"
        ) from error


def _resumed_schedule(case: Case) -> None:
    def rates(optimizer: Any, made: Any, first: int, last: int) -> list[float]:
        found = []
        for _ in range(first, last):
            follow(optimizer, made, 1.0)
            found.append(float(optimizer.param_groups[0]["lr"]))
        return found

    whole = rates(*scheduled(case), 0, 20)
    optimizer, made = scheduled(case)
    if made is None:
        raise Inapplicable("it leaves the learning rate as it is")
    rates(optimizer, made, 0, 10)
    again, second = scheduled(case)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    second.load_state_dict(_written(made.state_dict()))
    expect(rates(again, second, 10, 20) == whole[10:], "gone on from its state_dict, it sets other learning rates")


@check("optimizer", needs=("repeats",))
def ungraded(case: Case) -> None:
    """A parameter without a gradient is left alone, and the others are stepped."""
    if not case.trait("gradient", True):
        raise Inapplicable("it uses no gradients (trait gradient=False)")
    problem = LeastSquares(case, unused=True)
    before = problem.weights()
    problem.steps(3)
    weight, _, unused = (torch.equal(a, b) for a, b in zip(before, problem.weights(), strict=True))
    expect(not weight, "where one parameter has no gradient, it steps none")
    expect(unused, "it moves a parameter that has no gradient")
