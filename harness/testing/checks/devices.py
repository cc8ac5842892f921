"""Check that a component computes in the precision and on the device of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import pytree
from harness.modeling.regularizer import Regularizer, does
from harness.testing.check import check
from harness.testing.checks.gradients import trained
from harness.testing.component_case import Case, Inapplicable, drawn, expect, linear, noise, redirected
from harness.testing.fixtures import SHAPES, predictions, tasks_of
from harness.testing.least_squares import LeastSquares


@check("activation", "normalization", "loss", "model", "regularizer", "augmentation", "optimizer", needs=("repeats",))
def devices(case: Case) -> None:
    """The component computes in the precision and on the device of its inputs (float64; the device meta)."""
    checks: dict[str, Callable[[Case], None]] = {
        "activation": _function, "normalization": _function, "loss": _loss, "model": _model,
        "regularizer": _hooks, "augmentation": _augmented, "optimizer": _stepped,
    }  # fmt: skip
    checks[case.kind](case)


def expect_like(inputs: str, outputs: Any, dtype: torch.dtype, device: str = "cpu") -> None:
    """Raise Fault unless every tensor is on a device, and every real one has a dtype.

    Args:
        inputs: Text about the inputs, for the message.
        outputs: Tree of tensors to check.
        dtype: Expected dtype of real tensors.
        device: Expected type of the device.
    """
    for tensor in pytree.tree_leaves(outputs):
        if not isinstance(tensor, Tensor):
            continue
        expect(tensor.device.type == device, f"{inputs} it returns a tensor on {tensor.device}")
        right = not tensor.is_floating_point() or tensor.dtype == dtype
        expect(right, f"{inputs} it returns {str(tensor.dtype).removeprefix('torch.')}")


def _function(case: Case) -> None:
    if "layer" in case.asks:
        layer = linear(3, 4)
        case.make(layer=layer)
        expect_like("of float64", layer.double()(drawn((7, 3), "x", dtype=torch.float64)), torch.float64)
        return
    x = drawn((5, 3, 4, 4), "x", dtype=torch.float64)
    function: Any = None
    if case.kind == "activation":
        function, width = case.activate()
        x = x if not width else drawn((5, 3 * width, 4), "x", dtype=torch.float64)
    else:
        function = case.make(features=3, ndim=2)
    if function is None:
        raise Inapplicable("it adds no module")
    if isinstance(function, torch.nn.Module):
        function.double()
    expect_like("of float64", function(x), torch.float64)
    if isinstance(function, torch.nn.Module):
        function.float().to("meta")
    expect_like("on another device", function(x.float().to("meta")), torch.float32, "meta")


def _loss(case: Case) -> None:
    for task, prediction, target in predictions(case, torch.float64):
        expect_like(f"for the task {task}, of float64", case.compute()(prediction, target), torch.float64)
        both = pytree.tree_map_only(Tensor, lambda t: t.to("meta"), (prediction, target))
        expect_like(f"for the task {task}, on another device", case.compute()(*both), torch.float64, "meta")


def _model(case: Case) -> None:
    for task in tasks_of(case):
        fixtures = trained(case, task)
        expect_like(f"for the task {task}, of float64", fixtures.losses(), torch.float64)
        x, _ = fixtures.batch
        fixtures.model.to("meta")
        with torch.random.fork_rng(devices=[]):
            expect_like(f"for the task {task}, on another device", fixtures.call(x.to("meta")), torch.float64, "meta")


def _hooks(case: Case) -> None:
    regularizer: Regularizer = case.make()
    params = {name: drawn((4, 3), name, dtype=torch.float64) for name in ("a", "b")}
    if does(regularizer, "penalty"):
        expect_like("of float64", regularizer.penalty(params), torch.float64)
    if does(regularizer, "gradient"):
        expect_like("of float64", regularizer.gradient(dict(params), dict(params), noise()), torch.float64)
    if does(regularizer, "layer") and (module := regularizer.layer(4, 0)) is not None:
        with redirected():
            expect_like("of float64", module.double()(drawn((5, 4), "x", dtype=torch.float64)), torch.float64)


def _augmented(case: Case) -> None:
    x = drawn((5, *SHAPES[(case.list_trait("input_ndim") or (1,))[0]]), "x", dtype=torch.float64)
    expect_like("of float64", case.make()(x, torch.arange(5) % 3, noise())[0], torch.float64)


def _stepped(case: Case) -> None:
    problem = LeastSquares(case, torch.float64)
    problem.steps(2)
    expect_like("of float64 parameters", problem.weights(), torch.float64)
    for p in problem.params:
        state = problem.optimizer.state.get(p, {})
        same_shape = [t for t in pytree.tree_leaves(dict(state)) if isinstance(t, Tensor) and t.shape == p.shape]
        expect_like("of float64 parameters, in its state,", same_shape, torch.float64)
