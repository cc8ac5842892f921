"""Conformance checks of gradients, against finite differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import pytree
from harness.modeling.estimator import EstimatorModule
from harness.testing.check import check
from harness.testing.component_case import Case, Fault, Inapplicable, drawn, expect, redirected
from harness.testing.fixtures import Fixtures, bench, numbers, predictions, tasks_of

STEP = 1e-6  # step of a central difference, for which truncation and rounding errors are both near 1e-10
TOLERANCE = 1e-5  # relative to the larger of the two slopes, or to 1 if both are smaller
DIRECTIONS = 3


@check("activation", "loss", "model", needs=("builds", "scalar", "repeats", "devices"))
def gradient(case: Case) -> None:
    """The gradient equals that of finite differences."""
    {"activation": _activation, "loss": _loss, "model": _model}[case.kind](case)


def _activation(case: Case) -> None:
    function, width = case.activate()
    if isinstance(function, torch.nn.Module):
        function.double()
    shape = (40,) if not width else (2, 3 * width, 5)
    x = 2 * drawn(shape, "gradient", dtype=torch.float64)
    _compare(function, [x], "")


def _loss(case: Case) -> None:
    for task, prediction, target in predictions(case, torch.float64):
        leaves, form = pytree.tree_flatten(prediction)
        indices = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf.is_floating_point()]

        def value(*x: Tensor, bound: Any = (leaves, form, indices, target)) -> Tensor:
            leaves, form, indices, target = bound
            inputs = list(leaves)
            for index, tensor in zip(indices, x, strict=True):
                inputs[index] = tensor
            with redirected():  # a loss that draws must draw the same each time
                losses = case.compute()(pytree.tree_unflatten(inputs, form), target)
            return torch.stack([v.reshape(()) for v in pytree.tree_leaves(losses)])

        _compare(value, [leaves[i] for i in indices], f"for the task {task}, ")


def _compare(function: Callable[..., Tensor], inputs: Sequence[Tensor], where: str) -> None:
    """Raise Fault if the slopes along a random direction differ."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    out = function(*leaves)
    if not out.requires_grad:
        raise Fault(f"{where}its output has no gradient: the graph is cut (by a comparison, .detach(), ...)")
    weight = drawn(tuple(out.shape), "weight", dtype=torch.float64)
    grads = torch.autograd.grad((out * weight).sum(), leaves, allow_unused=True)

    def value(moved: Sequence[Tensor]) -> float:
        with torch.no_grad():
            return float((function(*moved) * weight).sum())

    for number in range(DIRECTIONS):
        directions = [drawn(tuple(x.shape), number, i, dtype=torch.float64) for i, x in enumerate(inputs)]
        slope = sum(float((g * v).sum()) for g, v in zip(grads, directions, strict=True) if g is not None)
        ahead = value([x + STEP * v for x, v in zip(inputs, directions, strict=True)])
        behind = value([x - STEP * v for x, v in zip(inputs, directions, strict=True)])
        _same(slope, (ahead - behind) / (2 * STEP), where)


def _same(slope: float, measured: float, where: str) -> None:
    expect(
        abs(slope - measured) <= TOLERANCE * max(1.0, abs(slope), abs(measured)),
        f"{where}the slope along a random direction is {slope:.6g} by its gradient and {measured:.6g} by finite "
        "differences",
    )


def trained(case: Case, task: str, dtype: torch.dtype = torch.float64) -> Fixtures:
    """Return a model in training mode with perturbed parameters.

    Raises:
        Inapplicable: If the model is an estimator.
    """
    fixtures = bench(case, task, dtype)
    if isinstance(fixtures.model, EstimatorModule):
        raise Inapplicable("it is fitted at once, and has no gradient")
    fixtures.shake()
    fixtures.model.train()
    return fixtures


def _model(case: Case) -> None:
    for task in tasks_of(case):
        fixtures = trained(case, task)
        named = dict(fixtures.model.named_parameters())
        for group, members in fixtures.task.groups(fixtures.model).items():
            params = [named[name] for name in members]
            grads = torch.autograd.grad(fixtures.losses()[group], params, allow_unused=True)
            directions = [drawn(tuple(p.shape), i, dtype=torch.float64) for i, p in enumerate(params)]
            slope = sum(float((g * v).sum()) for g, v in zip(grads, directions, strict=True) if g is not None)
            ahead, behind = (_moved(fixtures, group, params, directions, step) for step in (STEP, -STEP))
            _same(slope, (ahead - behind) / (2 * STEP), f"for the task {task}, in {group}, ")


def _moved(fixtures: Fixtures, group: str, params: list[Any], directions: list[Tensor], step: float) -> float:
    with torch.no_grad():
        before = [p.clone() for p in params]
        for p, v in zip(params, directions, strict=True):
            p.add_(v, alpha=step)
        loss = float(fixtures.losses()[group])
        for p, value in zip(params, before, strict=True):
            p.copy_(value)
    return loss


@check("model", needs=("builds", "repeats"))
def every_parameter(case: Case) -> None:
    """Every parameter receives a gradient that is not all zero."""
    for task in tasks_of(case):
        fixtures = trained(case, task)
        named = {name: p for name, p in fixtures.model.named_parameters() if p.requires_grad}
        groups = fixtures.task.groups(fixtures.model)
        trained_names: set[str] = set()
        for group, members in groups.items():
            losses = [fixtures.losses(step)[group] for step in range(2)]
            params = [named[name] for name in members]
            grads = torch.autograd.grad(sum(losses[1:], losses[0]), params, allow_unused=True)
            trained_names |= {name for name, g in zip(members, grads, strict=True) if g is not None and g.any()}
        missing = [name for name in named if name not in trained_names]
        expect(not missing, f"for the task {task} there is no gradient for {', '.join(missing)}")


@check("model", needs=("builds", "repeats"))
def modes(case: Case) -> None:
    """The model computes the same in training and evaluation mode, unless it declares the trait `training`."""
    declared = bool(case.trait("training", False))
    differing = []
    for task in tasks_of(case):
        fixtures = trained(case, task)
        x, _ = fixtures.batch
        outputs = []
        for training in (True, False):
            fixtures.model.train(training)
            with torch.no_grad(), redirected():
                outputs.append(numbers(fixtures.call(x)))
        same = len(outputs[0]) == len(outputs[1]) and all(
            a.shape == b.shape and torch.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in zip(*outputs, strict=True)
        )
        if not same:
            differing.append(task)
    if declared:
        expect(differing, "it declares that it differs in training mode, but it is the same function in both modes")
    expect(
        declared or not differing,
        "it differs between training and evaluation mode, without a normalization or a regularizer: "
        "declare it with @harness.model(training=True)",
    )
