"""Evidence on a network: rebuilt, trained for some steps with several learning rates, and with its trained weights."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness import Dataset, Noise, Samples
from harness_doctor.engine import quantities as q
from harness_doctor.engine import reraise_interrupt
from harness_doctor.engine_training import (
    BatchNormBase,
    EstimatorModule,
    Plan,
    SinglePath,
    build,
    calling,
    first_samples,
    trait,
    transformed_splits,
)
from harness_doctor.evidence import NetworkEvidence, Series, ShortTraining
from harness_doctor.evidence_layers import Found, blocking, curvature, glance
from harness_doctor.evidence_predictions import company, losses, scores

TRIED = 120  # largest number of steps of a trial
WORK = 1 << 36  # largest number of multiply-adds of a trial
FACTORS = (0.1, 10.0)  # factors of the learning rate, applied again as long as the loss falls
FURTHER = {0.1: 5, 10.0: 9}  # {factor: largest number of repetitions}
FLAT = 1e-3  # relative change of a loss below which a higher rate is no worse
UNMOVED = 0.9  # share of the loss at the start above which no trial has lowered it
REPEATS = 20  # steps on one batch


@dataclass(frozen=True)
class LayerEvidence:
    """Evidence on a network, and measurements of its layers at the first step, after the trial, and at the end."""

    net: NetworkEvidence
    measured: dict[str, dict[str, Series]]


def make(values: dict[str, Any], dataset: Dataset, plan: Plan, factor: float = 1.0) -> SinglePath:
    """Build the training path of a run at its start, with its learning rate times a factor."""
    if factor != 1.0:
        values = values | {"optimizer": values["optimizer"] | {"lr": values["optimizer"]["lr"] * factor}}
    parts = build(values, dataset, plan.total_steps)
    path = SinglePath(parts, plan, transformed_splits(dataset), torch.device("cpu"), (0, 1))
    path.start_epoch(0)
    return path


def fitted(values: dict[str, Any], dataset: Dataset, plan: Plan) -> SinglePath | None:
    """Build the path of an estimator and fit it as the run did; return None for a network."""
    if not trait("model", values["model"], "estimator", False):
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        path = make(values, dataset, plan)
        assert isinstance(path.model, EstimatorModule)
        assert isinstance(dataset.train, Samples)
        path.model.estimator.fit(dataset.train)
    return path


def look(
    values: dict[str, Any],
    dataset: Dataset,
    plan: Plan,
    weights: dict[str, Tensor] | None,
    steps: int,
    enough: float,
) -> LayerEvidence:
    """Return all evidence on a network.

    Args:
        values: resolved config of the run.
        dataset: its data.
        plan: its training plan.
        weights: trained weights, if they were saved.
        steps: optimizer steps of the run.
        enough: training score below which the network is also trained again.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        path = make(values, dataset, plan)
        measured: dict[str, dict[str, Series]] = {}
        first = glance(path, dataset)
        _note(measured, first, 0)
        facts = _facts(path, first) | {"curvature": curvature(path, dataset)}
        facts |= losses(path, dataset)
        facts["loss_start"] = facts.get("loss_made", math.nan)
        facts |= _plain(path) | _times(path, dataset)
        if weights is not None:
            trained = make(values, dataset, plan)
            facts["moved"] = _moved(trained.model, weights)
            trained.model.load_state_dict(weights)
            trained.averages = []
            _note(measured, glance(trained, dataset), max(1, steps) - 1)
            facts |= losses(trained, dataset)
            facts |= {"scores": scores(trained, dataset), "company": company(trained, dataset)}
        seconds = (path.parts.probe.work or 0) * plan.samples * 3
        count = min(TRIED, plan.total_steps, WORK // max(1, seconds))
        made = facts.get("scores")
        poor = made is None or not made.train >= enough
        if poor and dataset.in_memory and count:
            trials = facts["trials"] = _trials(values, dataset, plan, count, path, measured)
            if all(trial.loss > UNMOVED * facts["loss_start"] for trial in trials):
                facts["repeated"] = tuple(
                    _repeated(trial.factor, make(values, dataset, plan, trial.factor)) for trial in trials
                )
    for layers in measured.values():
        for series in layers.values():
            series.sort()
    return LayerEvidence(NetworkEvidence(**facts), measured)


def _note(measured: dict[str, dict[str, Series]], found: Found, step: int) -> None:
    for quantity, layers in found.items():
        for layer, value in layers.items():
            measured.setdefault(quantity, {}).setdefault(layer, []).append((step, value))


def _facts(path: SinglePath, first: Found) -> dict[str, Any]:
    weights = list(first.get(q.GRADIENT, {}))
    normalizing: dict[str, nn.Module] = {n: m for n, m in path.model.named_modules() if isinstance(m, BatchNormBase)}
    return {
        "batch_statistics": tuple(normalizing),
        "batch_numbers": _numbers(path, normalizing),
        "unreached": tuple(first.get(q.UNREACHED, {})),
        "block": blocking(path) if first.get(q.UNREACHED) else None,
        "weighted": tuple(weights),
    }


def _numbers(path: SinglePath, normalizing: dict[str, torch.nn.Module]) -> int:
    """Return the smallest number of values that a batch is normalized over: samples times positions."""
    space: list[int] = []
    handles = [m.register_forward_hook(lambda m, x, out: space.append(out[0, 0].numel())) for m in normalizing.values()]
    try:
        x, _ = path.slice(path.data["train"], 0, 2, None)
        path.model.eval()
        with torch.no_grad(), path.redirect_noise(Noise(path.key(0))):
            path.model(x)
    except (RuntimeError, TypeError):
        space = []
    finally:
        path.model.train()
        for handle in handles:
            handle.remove()
    return path.plan.samples * min(space, default=1)


def _plain(path: SinglePath) -> dict[str, bool]:
    """Return whether a step is -lr times the gradient, tested on a parameter of its own."""
    p = torch.nn.Parameter(torch.ones(4))
    lr = path.parts.values["optimizer"].get("lr")
    if lr is None or path.parts.closure:
        return {"plain_steps": False}
    try:
        generator = torch.Generator().manual_seed(0)
        optimizer = path.parts.optimizer(params=[p], named_params=[("p", p)], total_steps=10, generator=generator)
        p.grad = torch.tensor([1.0, -2.0, 0.5, 4.0])
        optimizer.step()
        moved = (p.detach() - 1) / -lr
        return {"plain_steps": bool(torch.allclose(moved, p.grad, rtol=1e-3))}
    except Exception as error:  # a stranger's optimizer that wants something else
        reraise_interrupt(error)
        return {"plain_steps": False}


def train(path: SinglePath, count: int) -> tuple[int, float]:
    """Train for some batches; return their number and the mean loss of the last fifth of them, inf if it diverged."""
    losses: list[float] = []
    plan = path.plan
    for epoch in range(plan.epochs):
        path.start_epoch(epoch)
        for batch in range(plan.batches):
            loss = float(path.train(range(batch, batch + 1))[0, 0])
            if not math.isfinite(loss):
                return len(losses), math.inf
            losses.append(loss)
            if len(losses) >= count:
                break
        if len(losses) >= count:
            break
    last = losses[-max(1, len(losses) // 5) :]
    return len(losses), sum(last) / len(last)


def _moved(model: nn.Module, weights: dict[str, Tensor]) -> float:
    """Return |w - w₀| / |w₀| of all parameters."""
    start = {name: p.detach() for name, p in model.named_parameters()}
    size, change = (
        math.hypot(*(float(t.double().norm()) for t in tensors))
        for tensors in (start.values(), (weights[name] - p for name, p in start.items()))
    )
    return change / max(size, 1e-30)


def _repeated(factor: float, path: SinglePath) -> ShortTraining:
    """Train on the first batch again and again."""
    losses: list[float] = []
    batches = range(min(path.plan.accumulate, path.plan.batches))
    while len(losses) <= REPEATS and (not losses or math.isfinite(losses[-1])):
        losses.append(float(path.train(batches).mean()))
    last = losses[-1] if math.isfinite(losses[-1]) else math.inf
    return ShortTraining(factor, len(losses) - 1, last, losses[0])


def _trials(
    values: dict[str, Any],
    dataset: Dataset,
    plan: Plan,
    count: int,
    own: SinglePath,
    measured: dict[str, dict[str, Series]],
) -> tuple[ShortTraining, ...]:
    made, loss = train(own, count)
    found = [ShortTraining(1.0, made, loss)]
    if math.isfinite(loss):
        _note(measured, glance(own, dataset), max(1, made // plan.accumulate) - 1)
    if values["optimizer"].get("lr") is None:
        return tuple(found)
    for step in FACTORS:
        factor, best = step, loss
        for _ in range(1 + FURTHER[step]):
            tried = ShortTraining(factor, *train(make(values, dataset, plan, factor), count))
            found.append(tried)
            flat = FLAT * abs(best) if step > 1 else 0.0  # far too low a rate shows only further up
            if not (tried.loss < best + flat or (math.isinf(tried.loss) and step < 1)):
                break
            best, factor = min(best, tried.loss) if step > 1 else tried.loss, factor * step
    return tuple(found)


def _times(path: SinglePath, dataset: Dataset) -> dict[str, float]:
    """Time a forward and backward pass of one batch, and of one four times as large; the shortest of five."""
    if not dataset.in_memory or path.parts.closure:
        return {}
    x, y = first_samples(dataset, 4 * path.plan.samples)
    if len(x) < 4 * path.plan.samples:
        return {}
    model = copy.deepcopy(path.model)

    def seconds(count: int) -> float:
        best = math.inf
        for _ in range(5):
            began = time.perf_counter()
            losses = path.parts.task.losses(calling(model), (x[:count], y[:count]), Noise(path.key(0)))
            leaves = [p for p in model.parameters() if p.requires_grad]
            torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaves, allow_unused=True)
            best = min(best, time.perf_counter() - began)
        return best

    try:
        with path.redirect_noise(Noise(path.key(0))):
            return {"step_s": seconds(path.plan.samples), "step4_s": seconds(4 * path.plan.samples)}
    except (ValueError, RuntimeError):  # such a batch cannot be trained on
        return {}
