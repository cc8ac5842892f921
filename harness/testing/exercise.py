"""What a component of each kind does when the harness uses it: called here the same way, on small things.

Each function makes the component anew, uses it, and returns what came of it, so that two uses can be compared. What no
run could go on with is a Fault.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.modeling.estimator import EstimatorModule
from harness.modeling.regularizer import Regularizer, does
from harness.modeling.task import Task
from harness.testing import exercise_diagnostic
from harness.testing import exercise_samples as of_samples
from harness.testing.component_case import Case, Inapplicable, drawn, expect, linear, noise, redirected
from harness.testing.fixtures import bench, numbers, predictions, tasks_of
from harness.testing.least_squares import LeastSquares


def activation(case: Case) -> Any:
    function, width = case.activate()
    x = torch.linspace(-3, 3, 60).view(2, 6, 5) if not width else drawn((2, 3 * width, 5), "x")
    y = function(x)
    wanted = (2, 3, 5) if width else x.shape
    expect(isinstance(y, Tensor), f"it returns {type(y).__name__}, not a tensor")
    expect(y.shape == wanted, f"of an input of shape {list(x.shape)} it makes {list(y.shape)}, not {list(wanted)}")
    expect(torch.isfinite(y).all(), "it is not finite everywhere between -3 and 3")
    return y


def normalization(case: Case) -> Any:
    if "layer" in case.asks:
        layer = linear(3, 4)
        case.make(layer=layer)
        y = layer(drawn((7, 3), "x"))
        expect(y.shape == (7, 4), f"the layer makes {list(y.shape)} of [7, 3], not [7, 4]")
        return y.detach()
    return [_normalized(case, d - 1) for d in case.told("input_ndim") or (1, 2, 3) if d <= 3]


def _normalized(case: Case, ndim: int) -> Tensor:
    x = drawn((7, 3, 4, 4)[: 2 + ndim], "x")
    module = case.make(features=3, ndim=ndim)
    y = x if module is None else module(x)
    expect(y.shape == x.shape, f"of {list(x.shape)} it makes {list(y.shape)}")
    expect(torch.isfinite(y).all(), f"of {list(x.shape)} it makes what is not finite")
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
        expect(torch.isfinite(tensor).all(), f"it leaves numbers of a {list(tensor.shape)} unset, or not finite")
    return filled


def loss(case: Case) -> Any:
    with redirected():
        return [case.compute()(prediction, target) for _, prediction, target in predictions(case)]


def optimizer(case: Case) -> Any:
    problem = LeastSquares(case)
    held = {id(p) for group in problem.optimizer.param_groups for p in group["params"]}
    expect(held == {id(p) for p in problem.params}, "its param_groups do not hold every parameter once")
    problem.steps(3)
    return problem.weights()


def scheduler(case: Case) -> Any:
    optimizer, made = scheduled(case)
    rates = []
    for step in range(40):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        follow(optimizer, made, 1 / (1 + step))
    bad = [rate for rate in rates if not 0 <= rate < float("inf")]
    expect(not bad, f"it sets a learning rate of {bad[0] if bad else 0:g}")
    return rates


def scheduled(case: Case) -> tuple[torch.optim.Optimizer, Any]:
    """An optimizer with lr = 0.1, and the scheduler over it."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    return optimizer, case.make(optimizer=optimizer)


def follow(optimizer: torch.optim.Optimizer, made: Any, value: float) -> None:
    """A step of both."""
    optimizer.step()
    if isinstance(made, torch.optim.lr_scheduler.ReduceLROnPlateau):
        made.step(value)
    elif made is not None:
        made.step()


def regularizer(case: Case) -> Any:
    made = case.make()
    expect(isinstance(made, Regularizer), f"it returns {type(made).__name__}, not a harness.Regularizer")
    hooks = [hook for hook in vars(Regularizer) if callable(getattr(Regularizer, hook)) and does(made, hook)]
    expect(hooks, "it overrides no hook of harness.Regularizer, and so does nothing")
    params = {"weight": nn.Parameter(drawn((4, 3), "weight")), "bias": nn.Parameter(drawn((4,), "bias"))}
    found: list[Any] = [_layers(made, hook) for hook in ("layer", "branch") if hook in hooks]
    if "penalty" in hooks:
        found.append(made.penalty(dict(params)))
    if "gradient" in hooks:
        grads = {name: drawn(tuple(p.shape), "gradient", name) for name, p in params.items()}
        changed = made.gradient(dict(grads), dict(params), noise())
        expect(changed.keys() == grads.keys(), "gradient returns other names than it was given")
        found.append(changed)
    if "target" in hooks:
        found.append(made.target(torch.arange(6) % 3))
        expect(len(found[-1]) == 6, f"target makes {len(found[-1])} targets of 6")
    with torch.no_grad():
        state, before = made.init(params), {name: p.detach().clone() for name, p in params.items()}
        if "after_step" in hooks:
            made.after_step(params, before, 0.1, state)
        found += [made.evaluate(params, state), {name: p.detach() for name, p in params.items()}]
    if "should_stop" in hooks:
        found.append([made.should_stop([{made.watch: 1.0}] * n) for n in (1, 2, 30)])
    return found


def _layers(made: Regularizer, hook: str) -> list[Tensor]:
    found = []
    for ndim in (0, 2):
        x = drawn((5, 4, 3, 3)[: 2 + ndim], "x")
        module = made.layer(4, ndim) if hook == "layer" else made.branch(1, 3)
        with redirected():
            y = x if module is None else module(x)
        expect(y.shape == x.shape, f"its {hook} makes {list(y.shape)} of {list(x.shape)}")
        found.append(y)
    return found


def model(case: Case) -> Any:
    found: list[Any] = []
    for task in tasks_of(case):
        place = bench(case, task)
        expect(isinstance(place.model, nn.Module), f"it returns {type(place.model).__name__}, not a torch.nn.Module")
        x, _ = place.batch
        if not isinstance(place.model, EstimatorModule):
            losses = place.losses()
            bad = [f"{name} {value}" for name, value in losses.items() if not torch.isfinite(value).all()]
            expect(not bad, f"for the task {task} its first loss is not finite: {', '.join(bad)}")
            found += [losses, dict(place.model.state_dict())]
        losses, (prediction, _) = place.measured()
        for tensor in numbers(prediction):
            expect(torch.isfinite(tensor).all(), f"for the task {task} its predictions are not finite")
            each = tensor.ndim == 0 or not place.by_sample or len(tensor) == len(x)
            expect(each, f"it makes {list(tensor.shape)} of {len(x)} samples")
        with torch.no_grad(), redirected() as redirect:
            pictures = place.task.pictures(place.call, place.batch, redirect.noise)
        found += [losses, prediction, pictures]
    return found


def task(case: Case) -> Any:
    place = bench(case, case.name)
    expect(isinstance(place.task, Task), f"it returns {type(place.task).__name__}, not a harness.Task")
    if isinstance(place.model, EstimatorModule):
        return [place.measured()]
    losses = place.losses()
    groups = place.task.groups(place.model)
    expect(losses.keys() == groups.keys(), f"its losses are of {list(losses)}, and its groups are {list(groups)}")
    return [losses, place.measured()]


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """With this working folder."""
    was = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(was)


def logger(case: Case) -> Any:
    before = _sizes(case.folder)
    with inside(case.folder):
        made = case.make()
        made.log_metrics({"loss": 1.0}, 0)
        made.save()
        made.finalize("success")
    expect(_sizes(case.folder) != before, "it was told a metric, and has written nothing into run_dir")
    return []


def _sizes(folder: Path) -> dict[Path, int]:
    """Of every file: a logger may go on in one that is there."""
    return {path: path.stat().st_size for path in folder.rglob("*")}


def executor(case: Case) -> Any:
    with inside(case.folder), case.make() as made:
        found = made.submit(max, 1, 2).result(120)
    expect(found == 2, f"of max(1, 2) it makes {found!r}")
    return []


_ALL: tuple[Callable[[Case], Any], ...] = (
    task, of_samples.data, model, activation, normalization, initializer, loss, optimizer, scheduler, regularizer,
    of_samples.augmentation, of_samples.corruption, of_samples.transform, of_samples.metric,
    exercise_diagnostic.diagnostic, logger, executor,
)  # fmt: skip
BEHAVIOURS = {behaviour.__name__: behaviour for behaviour in _ALL}


def behave(case: Case) -> Any:
    """What came of using the component."""
    if case.kind not in BEHAVIOURS:
        raise Inapplicable(f"these checks know no {case.kind}")
    return BEHAVIOURS[case.kind](case)
