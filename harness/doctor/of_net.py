"""What is seen of a network: it is made again, trained again for some steps, also at other learning rates, and looked
at with its trained weights.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from harness.build import build, first_samples
from harness.dataset import Dataset
from harness.diagnostics import quantities as q
from harness.doctor.glance import Found, curvature, glance
from harness.doctor.of_scores import recalls, right_logits, scored
from harness.doctor.seen import Net, Scores, Series, Trial
from harness.learner.alone import Alone
from harness.learner.fit import placed
from harness.learner.plan import Plan
from harness.learner.seeing import untracked
from harness.learner.tuples import evaluated
from harness.noise import Noise

TRIED = 120  # steps of a trial, at the most
WORK = 1 << 36  # multiplications and additions of a trial, at the most
FACTORS = (0.1, 10.0)  # of the learning rate: on from there as long as it helps
FURTHER = 2  # times ten
HELPS = 0.7  # of the loss: what another rate has to get below to count as better
LOOKED = 1000  # samples that are predicted
CERTAIN = 20.0  # a logit that leaves nothing open


@dataclass(frozen=True)
class Looked:
    """What was seen, and what was measured of layers at the first step, after the trial, and at the end."""

    net: Net
    measured: dict[str, dict[str, Series]]


def make(values: dict[str, Any], dataset: Dataset, plan: Plan, factor: float = 1.0) -> Alone:
    """The path of a run as it begins, its learning rate times a factor."""
    if factor != 1.0:
        values = values | {"optimizer": values["optimizer"] | {"lr": values["optimizer"]["lr"] * factor}}
    parts = build(values, dataset, plan.total_steps)
    path = Alone(parts, plan, placed(dataset), torch.device("cpu"), (0, 1))
    path.start_epoch(0)
    return path


def look(
    values: dict[str, Any],
    dataset: Dataset,
    plan: Plan,
    weights: dict[str, Tensor] | None,
    steps: int,
    enough: float,
) -> Looked:
    """Everything, of a run of `steps` steps; one whose training score is below `enough` is also trained again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        path = make(values, dataset, plan)
        measured: dict[str, dict[str, Series]] = {}
        first = glance(path, dataset)
        _note(measured, first, 0)
        facts = _facts(path, first) | {"curvature": curvature(path, dataset)}
        facts |= _losses(path, dataset, "start")
        facts |= _plain(path) | _times(path, dataset)
        if weights is not None:
            trained = make(values, dataset, plan)
            trained.model.load_state_dict(weights)
            trained.averages = []
            _note(measured, glance(trained, dataset), max(1, steps) - 1)
            facts |= {"curvature_end": curvature(trained, dataset), "scores": _scores(trained, dataset)}
            facts |= _losses(trained, dataset, "end") | _company(trained, dataset)
        seconds = (path.parts.probe.work or 0) * plan.samples * 3
        count = min(TRIED, plan.total_steps, WORK // max(1, seconds))
        scores = facts.get("scores")
        poor = scores is None or not scores.train >= enough
        if poor and dataset.in_memory and count:
            facts["trials"] = _trials(values, dataset, plan, count, path, measured)
    for layers in measured.values():
        for series in layers.values():
            series.sort()
    return Looked(Net(**facts), measured)


def _note(measured: dict[str, dict[str, Series]], found: Found, step: int) -> None:
    for quantity, layers in found.items():
        for layer, value in layers.items():
            measured.setdefault(quantity, {}).setdefault(layer, []).append((step, value))


def _facts(path: Alone, first: Found) -> dict[str, Any]:
    weights = list(first.get(q.GRADIENT, {}))
    normalizing: dict[str, nn.Module] = {n: m for n, m in path.model.named_modules() if isinstance(m, _BatchNorm)}
    return {
        "batch_statistics": tuple(normalizing),
        "batch_numbers": _numbers(path, normalizing),
        "unreached": tuple(first.get(q.UNREACHED, {})),
        "weighted": tuple(weights),
        "rectifies": any(value > 0.02 for value in first.get(q.ZEROS, {}).values()),
    }


def _numbers(path: Alone, normalizing: dict[str, torch.nn.Module]) -> int:
    """Over how many numbers a batch is normalized, at least: its samples, times space where there is some."""
    space: list[int] = []
    handles = [m.register_forward_hook(lambda m, x, out: space.append(out[0, 0].numel())) for m in normalizing.values()]
    try:
        x, _ = path.slice(path.data["train"], 0, 2, None)
        path.model.eval()
        with torch.no_grad(), path.redirected(Noise(path.key(0))):
            path.model(x)
    except (RuntimeError, TypeError):
        space = []
    finally:
        path.model.train()
        for handle in handles:
            handle.remove()
    return path.plan.samples * min(space, default=1)


def _plain(path: Alone) -> dict[str, bool]:
    """Whether a step is -lr times the gradient, seen on numbers of its own."""
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
    except Exception:  # a stranger's optimizer that wants something else
        return {"plain_steps": False}


def train(path: Alone, count: int) -> tuple[int, float]:
    """Trains on for some batches: how many it made, and the mean loss of the last fifth of them; inf if it diverged."""
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


def _trials(
    values: dict[str, Any], dataset: Dataset, plan: Plan, count: int, own: Alone, measured: dict[str, dict[str, Series]]
) -> tuple[Trial, ...]:
    made, loss = train(own, count)
    found = [Trial(1.0, made, loss)]
    if math.isfinite(loss):
        _note(measured, glance(own, dataset), max(1, made // plan.accumulate) - 1)
    if values["optimizer"].get("lr") is None:
        return tuple(found)
    for step in FACTORS:
        factor, best = step, loss
        for _ in range(1 + FURTHER):
            tried = Trial(factor, *train(make(values, dataset, plan, factor), count))
            found.append(tried)
            if not (tried.loss < best or (math.isinf(tried.loss) and step < 1)):
                break
            best, factor = tried.loss, factor * step
    return tuple(found)


def _scores(path: Alone, dataset: Dataset) -> Scores | None:
    if dataset.target not in ("class", "real", "labels"):
        return None
    if evaluated(path.parts.task, dataset.train, "train", 0) is not None:
        return None
    (x, y), (vx, vy) = (first_samples(dataset, LOOKED, split) for split in ("train", "val"))
    made, truth = _predicted(path, x, y)
    val, val_truth = _predicted(path, vx, vy)
    size = path.plan.batch_size
    pieces = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x) - size + 1, size)]
    batches = [_predicted(path, a, b, training=True) for a, b in pieces]
    train_mode = math.nan
    if batches and all(isinstance(p, Tensor) for pair in batches for p in pair):
        train_mode = scored(dataset.target, *(torch.cat([pair[i] for pair in batches]) for i in (0, 1)))
    classes = len(dataset.classes) if dataset.target == "class" else 0
    truths = vy if dataset.target == "class" else val_truth
    return Scores(
        scored(dataset.target, made, y if dataset.target == "class" else truth),
        train_mode,
        scored(dataset.target, val, truths),
        recalls(val, vy, classes) if classes and isinstance(val, Tensor) and val.ndim == 2 else (),
    )


def _predicted(path: Alone, x: Tensor, y: Tensor, training: bool = False, method: str = "forward") -> tuple[Any, Any]:
    """What the task predicts, and the targets as it wants them; of another method, what the model makes of x."""
    path.model.train(training)
    noise = Noise(path.key(0))
    try:
        with torch.no_grad(), path.redirected(noise), untracked(path.model):
            if method != "forward":
                return path._call(x, method=method), y
            made, truth = path.parts.task.predict(path._call, (x, y))
    except ValueError:  # one sample in a batch that is normalized over
        return None, None
    finally:
        path.model.train()
    return made, y if training and y.ndim == 1 else truth


def _company(path: Alone, dataset: Dataset) -> dict[str, float]:
    x, y = first_samples(dataset, 16)
    together, _ = _predicted(path, x, y)
    apart, _ = _predicted(path, x[:2], y[:2])
    if not isinstance(together, Tensor) or not isinstance(apart, Tensor) or len(apart) != 2 or len(together) != len(x):
        return {}
    size = together.double().std().clamp_min(1e-12)
    return {"company": float((together[:2].double() - apart.double()).abs().max() / size)}


def _losses(path: Alone, dataset: Dataset, when: str) -> dict[str, Any]:
    """The loss of predictions as they are; at the end also of right ones, and what predictions look like."""
    if evaluated(path.parts.task, dataset.train, "train", 0) is not None:
        return {}
    x, y = first_samples(dataset, LOOKED)
    made, _ = _predicted(path, x, y)
    found: dict[str, Any] = {}
    if when == "start":
        found["loss_start"] = _loss(path, x, y, None)
    found["loss_made"] = _loss(path, x, y, None)
    if not isinstance(made, Tensor) or made.ndim != 2:
        return found
    if dataset.target == "real" and made.shape == y.shape:
        scale = getattr(path.model, "standardize", None)
        found["loss_right"] = _loss(path, x, y, y if scale is None else scale(y))
    if dataset.target == "class":
        classes = made.shape[1]
        found["loss_right"] = _loss(path, x, y, right_logits(y, classes, CERTAIN))
        if classes > 1:
            share = torch.bincount(y.long(), minlength=classes).double().clamp_min(0.5) / len(y)
            found["loss_prior"] = _loss(path, x, y, share.log().float().expand(len(y), -1))
            found["loss_of_certain"] = _loss(path, x, y, right_logits(y, classes, 1.0))
            total = made.double().sum(1)
            found["sums_to_one"] = bool((made >= 0).all() and ((total - 1).abs() < 1e-3).all())
    raw = _predicted(path, x, y, method="standardized")[0] if hasattr(path.model, "standardized") else made
    found["cut"] = float((raw == 0).double().mean()) if raw.std() > 0 else 0.0
    return found


def _loss(path: Alone, x: Tensor, y: Tensor, instead: Tensor | None) -> float:
    """The task's loss in evaluation mode, of the model's predictions or of others."""
    path.model.eval()

    def call(*given: Any, method: str = "forward") -> Any:
        own = instead is None or method not in ("forward", "standardized")
        return path._call(*given, method=method) if own else instead

    try:
        with torch.no_grad(), path.redirected(Noise(path.key(0))):
            losses, _ = path.parts.task.evaluate(call, (x, y), Noise(path.key(0)))
        return float(sum(losses.values()))
    except (ValueError, RuntimeError):  # what the task makes of them is not for its loss
        return math.nan
    finally:
        path.model.train()


def _times(path: Alone, dataset: Dataset) -> dict[str, float]:
    """Seconds of a forward and backward pass of one batch, and of four in one; the least of five."""
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
            losses = path.parts.task.losses(_bound(model), (x[:count], y[:count]), Noise(path.key(0)))
            leaves = [p for p in model.parameters() if p.requires_grad]
            torch.autograd.grad(torch.stack(list(losses.values())).sum(), leaves, allow_unused=True)
            best = min(best, time.perf_counter() - began)
        return best

    try:
        with path.redirected(Noise(path.key(0))):
            return {"step_s": seconds(path.plan.samples), "step4_s": seconds(4 * path.plan.samples)}
    except (ValueError, RuntimeError):  # such a batch cannot be trained on
        return {}


def _bound(model: torch.nn.Module) -> Any:
    def call(*x: Any, method: str = "forward") -> Any:
        return model(*x) if method == "forward" else getattr(model, method)(*x)

    return call
