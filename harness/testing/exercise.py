"""Use a component of each kind in the way that a run does, on small inputs.

Each function builds the component, uses it and returns the results, so that two uses can be compared. Results that no
run could use raise Fault.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor, nn

from harness.modeling.estimator import EstimatorModule
from harness.modeling.regularizer import Regularizer, does
from harness.modeling.task import Task
from harness.system.errors import one_line
from harness.testing import exercise_diagnostic, training
from harness.testing import exercise_samples as of_samples
from harness.testing.component_case import Case, Fault, Inapplicable, drawn, expect, linear, noise, redirected
from harness.testing.fixtures import bench, numbers, predictions, tasks_of
from harness.testing.least_squares import LeastSquares


def activation(case: Case) -> Any:
    function, width = case.activate()
    x = torch.linspace(-3, 3, 60).view(2, 6, 5) if not width else drawn((2, 3 * width, 5), "x")
    y = function(x)
    expected = (2, 3, 5) if width else x.shape
    expect(isinstance(y, Tensor), f"it returns {type(y).__name__}, not a tensor")
    expect(y.shape == expected, f"for the input shape {list(x.shape)} it returns {list(y.shape)}, not {list(expected)}")
    expect(torch.isfinite(y).all(), "it is not finite everywhere between -3 and 3")
    return y


def normalization(case: Case) -> Any:
    if "layer" in case.asks:
        layer = linear(3, 4)
        case.make(layer=layer)
        y = layer(drawn((7, 3), "x"))
        expect(y.shape == (7, 4), f"for the input shape [7, 3] the layer returns {list(y.shape)}, not [7, 4]")
        return y.detach()
    return [_normalized(case, d - 1) for d in case.list_trait("input_ndim") or (1, 2, 3) if d <= 3]


def _normalized(case: Case, ndim: int) -> Tensor:
    x = drawn((7, 3, 4, 4)[: 2 + ndim], "x")
    module = case.make(features=3, ndim=ndim)
    y = x if module is None else module(x)
    expect(y.shape == x.shape, f"for the input shape {list(x.shape)} it returns {list(y.shape)}")
    expect(torch.isfinite(y).all(), f"for the input shape {list(x.shape)} its output is not finite")
    return y.detach()


def initializer(case: Case) -> Any:
    if "model" in case.asks:
        model = nn.Sequential(linear(6, 5), nn.Tanh(), linear(5, 2)).requires_grad_(False)
        filled = [p.fill_(1.0 if case.trait("keeps") else torch.nan) for p in model.parameters()]
        case.make(model=model, batch=drawn((64, 6), "batch"))
    else:
        filled = []
        for index, shape in enumerate([(6, 5), (4, 3, 3, 3)]):
            weight, bias = torch.full(shape, torch.nan), torch.zeros(shape[0])
            field = weight[0, 0].numel()
            fans = {"fan_in": shape[1] * field, "fan_out": shape[0] * field}
            case.make(weight=weight, bias=bias, index=index, **fans)
            filled += [weight, bias]
    for tensor in filled:
        expect(
            torch.isfinite(tensor).all(), f"it leaves values of a parameter {list(tensor.shape)} unset or not finite"
        )
    return filled


def loss(case: Case) -> Any:
    with redirected():
        return [case.compute()(prediction, target) for _, prediction, target in predictions(case)]


def optimizer(case: Case) -> Any:
    problem = LeastSquares(case)
    grouped = {id(p) for group in problem.optimizer.param_groups for p in group["params"]}
    expect(grouped == {id(p) for p in problem.params}, "its param_groups do not hold every parameter once")
    problem.steps(3)
    return problem.weights()


def scheduler(case: Case) -> Any:
    optimizer, scheduler = scheduled(case)
    rates = []
    for step in range(40):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        follow(optimizer, scheduler, 1 / (1 + step))
    bad = [rate for rate in rates if not 0 <= rate < float("inf")]
    expect(not bad, f"it sets a learning rate of {bad[0] if bad else 0:g}")
    return rates


def scheduled(case: Case) -> tuple[torch.optim.Optimizer, Any]:
    """Return an optimizer with lr = 0.1, and the scheduler for it."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    return optimizer, case.make(optimizer=optimizer)


def follow(optimizer: torch.optim.Optimizer, scheduler: Any, value: float) -> None:
    """Step an optimizer and its scheduler; `value` is the watched metric."""
    optimizer.step()
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        scheduler.step(value)
    elif scheduler is not None:
        scheduler.step()


def regularizer(case: Case) -> Any:
    result = case.make()
    expect(isinstance(result, Regularizer), f"it returns {type(result).__name__}, not a harness.Regularizer")
    hooks = [hook for hook in vars(Regularizer) if callable(getattr(Regularizer, hook)) and does(result, hook)]
    expect(hooks, "it overrides no hook of harness.Regularizer, so it does nothing")
    params = {"weight": nn.Parameter(drawn((4, 3), "weight")), "bias": nn.Parameter(drawn((4,), "bias"))}
    results: list[Any] = [_layers(result, hook) for hook in ("layer", "branch") if hook in hooks]
    if "penalty" in hooks:
        results.append(result.penalty(dict(params)))
    if "gradient" in hooks:
        grads = {name: drawn(tuple(p.shape), "gradient", name) for name, p in params.items()}
        changed = result.gradient(dict(grads), dict(params), noise())
        expect(changed.keys() == grads.keys(), "gradient returns other names than it gets")
        results.append(changed)
    if "target" in hooks:
        results.append(result.target(torch.arange(6) % 3))
        expect(len(results[-1]) == 6, f"for 6 targets, target returns {len(results[-1])}")
    with torch.no_grad():
        state, before = result.init(params), {name: p.detach().clone() for name, p in params.items()}
        if "after_step" in hooks:
            result.after_step(params, before, 0.1, state)
        results += [result.evaluate(params, state), {name: p.detach() for name, p in params.items()}]
    if "should_stop" in hooks:
        results.append([result.should_stop([{result.watch: 1.0}] * n) for n in (1, 2, 30)])
    return results


def _layers(regularizer: Regularizer, hook: str) -> list[Tensor]:
    outputs = []
    for ndim in (0, 2):
        x = drawn((5, 4, 3, 3)[: 2 + ndim], "x")
        module = regularizer.layer(4, ndim) if hook == "layer" else regularizer.branch(1, 3)
        with redirected():
            y = x if module is None else module(x)
        expect(y.shape == x.shape, f"for the input shape {list(x.shape)} its {hook} returns {list(y.shape)}")
        outputs.append(y)
    return outputs


def model(case: Case) -> Any:
    results: list[Any] = []
    for task in tasks_of(case):
        fixtures = bench(case, task)
        expect(
            isinstance(fixtures.model, nn.Module), f"it returns {type(fixtures.model).__name__}, not a torch.nn.Module"
        )
        x, _ = fixtures.batch
        if not isinstance(fixtures.model, EstimatorModule):
            losses = fixtures.losses()
            bad = [f"{name} {value}" for name, value in losses.items() if not torch.isfinite(value).all()]
            expect(not bad, f"for the task {task} its first loss is not finite: {', '.join(bad)}")
            results += [losses, dict(fixtures.model.state_dict())]
        losses, (prediction, _) = fixtures.measured()
        for tensor in numbers(prediction):
            expect(torch.isfinite(tensor).all(), f"for the task {task} its predictions are not finite")
            right = tensor.ndim == 0 or not fixtures.by_sample or len(tensor) == len(x)
            expect(right, f"for {len(x)} samples its prediction has the shape {list(tensor.shape)}")
        with torch.no_grad(), redirected() as redirect:
            pictures = fixtures.task.pictures(fixtures.call, fixtures.batch, redirect.noise)
        results += [losses, prediction, pictures]
    return results


def task(case: Case) -> Any:
    fixtures = bench(case, case.name)
    expect(isinstance(fixtures.task, Task), f"it returns {type(fixtures.task).__name__}, not a harness.Task")
    if isinstance(fixtures.model, EstimatorModule):
        return [fixtures.measured()]
    losses = fixtures.losses()
    groups = fixtures.task.groups(fixtures.model)
    expect(losses.keys() == groups.keys(), f"its losses are of {list(losses)}, and its groups are {list(groups)}")
    return [losses, fixtures.measured()]


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Change the working folder for the block."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def logger(case: Case) -> Any:
    before = _sizes(case.folder)
    with inside(case.folder):
        logger = case.make()
        logger.log_metrics({"loss": 1.0}, 0)
        logger.save()
        logger.finalize("success")
    expect(_sizes(case.folder) != before, "it has logged a metric, but written nothing into run_dir")
    return []


def _sizes(folder: Path) -> dict[Path, int]:
    """Return the size of every file, since a logger may append to an existing one."""
    return {path: path.stat().st_size for path in folder.rglob("*")}


def executor(case: Case) -> Any:
    with inside(case.folder), case.make() as executor:
        result = executor.submit(max, 1, 2).result(120)
    expect(result == 2, f"for max(1, 2) it returns {result!r}")
    return []


def callback(case: Case) -> Any:
    result = case.make()
    expect(isinstance(result, Callback), f"it returns {type(result).__name__}, not a pytorch_lightning.Callback")
    hooks = [name for name in vars(Callback) if getattr(type(result), name) is not getattr(Callback, name)]
    expect([name for name in hooks if name.startswith("on_") or name == "setup"], "it overrides no hook of Lightning")
    with inside(Path(tempfile.mkdtemp(dir=case.folder))):
        (run,) = training.cohort(
            [["data=iris", "model=mlp", "model.width=8", "epochs=2"]],
            change=lambda parts: parts.callbacks.update({case.name: result}),
            fused=False,
        )
    if (error := run.state.failed) is not None:
        raise Fault(f"a run with it fails: {one_line(error)}")
    return [run.state.weights, run.state.history]


_ALL: tuple[Callable[[Case], Any], ...] = (
    task, of_samples.data, model, activation, normalization, initializer, loss, optimizer, scheduler, regularizer,
    of_samples.augmentation, of_samples.corruption, of_samples.transform, of_samples.metric,
    exercise_diagnostic.diagnostic, callback, logger, executor,
)  # fmt: skip
EXERCISES = {function.__name__: function for function in _ALL}


def exercise(case: Case) -> Any:
    """Use a component as a run does, and return the results."""
    if case.kind not in EXERCISES:
        raise Inapplicable(f"these checks do not know the kind {case.kind}")
    return EXERCISES[case.kind](case)
