"""What a run is going to hold in memory, part by part: measured on a few samples, and carried over to any number."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness._compat.torch import pytree, storage_id
from harness.config import seeds
from harness.datasets.dataset import SPLITS, Dataset, Samples, first_samples, size
from harness.modeling.builder import RunComponents
from harness.modeling.estimator import EstimatorModule
from harness.modeling.regularizer import having
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.training.memory.allocations import AllocationTrace, ScaledAllocation, affine, peaks, watching
from harness.training.plan import Plan
from harness.training.single import evaluated_together
from harness.training.threads import using
from harness.training.tuples import evaluated, order

HANDED_BACK = 1 << 25  # bytes: glibc returns larger blocks to the system when they are freed, and keeps smaller ones
# Heap per byte in use, for smaller blocks: fitted to measured peaks (docs/explanation/memory.md), not derived.
FRAGMENTED = 1.75
FEW = 4  # samples, or tuples, that are passed through; and twice as many
NUMBERS = 1 << 16  # of the parameters that an optimizer is stepped on, about
STEPS = 128  # of an optimizer whose state grows (a history of steps), at most
KINDS = ("model", "activation", "normalization", "task", "loss", "regularizer", "augmentation", "optimizer")
_known: dict[str, MemoryEstimate] = {}


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one run. What depends on the batch is affine in its samples, block by block."""

    parameters: int  # and buffers
    gradients: int
    optimizer: int  # its state
    stepping: int  # what a step of it makes on the way
    averages: int  # what regularizers keep beside the weights
    copies: int  # of the weights that are the best so far, and of the first ones where diagnostics compare with them
    looking: int  # of the weights before a step, which diagnostics of it compare with
    data: int
    forward: tuple[ScaledAllocation, ...]  # of a batch, there and back
    evaluation: tuple[ScaledAllocation, ...]
    evaluated: int  # samples, or tuples, in evaluation's largest batch
    batch_size: int
    accumulated: bool
    kept_below: int  # blocks of fewer bytes stay with the process

    def activations(self, batch_size: int) -> dict[str, int]:
        """What autograd saves for the way back, by layer; what no layer makes (the loss, reshaping) is called ''."""
        found: dict[str, int] = {}
        for sized in self.forward:
            if sized.block.saved:
                found[sized.block.layer] = found.get(sized.block.layer, 0) + sized.bytes(batch_size)
        return found

    def total(self, batch_size: int | None = None) -> int:
        """The most bytes at one time, with the data; of the run's own batches where none is given."""
        there = self.parameters + self.optimizer + self.averages + self.copies + self.data
        returned, kept = peaks(self.forward, batch_size or self.batch_size, self.kept_below)
        if self.accumulated:  # the sum, the batch's own, and the next sum
            returned = max(returned + self.gradients, 3 * self.gradients)
        tested, kept_there = peaks(self.evaluation, self.evaluated, self.kept_below)
        at_end = self.parameters  # a copy, which is saved
        return (
            there
            + max(returned, self.gradients + self.looking + self.stepping, tested, at_end)
            + round(FRAGMENTED * max(kept, kept_there))
        )


def footprint(parts: RunComponents, dataset: Dataset, plan: Plan, device: str = "cpu") -> MemoryEstimate:
    """The footprint of a run, measured once for all runs of its shape. Raises what the run's own step would raise."""
    key = _key(parts, dataset, plan, device)
    if key not in _known:
        with using(1), torch.random.fork_rng(devices=[]):
            _known[key] = _measured(parts, dataset, plan, device)
    return _known[key]


def _key(parts: RunComponents, dataset: Dataset, plan: Plan, device: str) -> str:
    """All that bytes depend on: of a number with a fraction (a rate, a strength), whether it is zero."""
    settings = [_rounded(parts.values[kind]) for kind in KINDS]
    shapes = [list(p.shape) for p in parts.model.parameters()]
    splits = [size(dataset.part(split)) for split in SPLITS]
    of_plan = [plan.batch_size, plan.accumulate > 1, plan.n, plan.each, min(plan.total_steps, STEPS)]
    rest = [parts.values["save"], list(dataset.inputs), splits, data_bytes(dataset), of_plan, device, *_looks(parts)]
    return json.dumps([settings, shapes, rest], default=str)


def _looks(parts: RunComponents) -> tuple[bool, bool]:
    """Whether diagnostics of steps ask for the weights at the beginning, and for those before the step."""
    asked = {ask for d in parts.diagnostics.values() if d.when == "step" for ask in d.asks}
    return bool(asked & {"start", "start_layers"}), "previous" in asked


def _rounded(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {name: _rounded(value) for name, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_rounded(value) for value in node]
    return bool(node) if isinstance(node, float) else node


def data_bytes(dataset: Dataset) -> int:
    """Of the samples in memory."""
    parts = [dataset.part(split) for split in SPLITS]
    return sum(p.x.nbytes + p.y.nbytes for p in parts if isinstance(p, Samples))


def _measured(parts: RunComponents, dataset: Dataset, plan: Plan, device: str) -> MemoryEstimate:
    own = _bytes([*parts.model.parameters(), *parts.model.buffers()])
    fitted = isinstance(parts.model, EstimatorModule)
    state, stepping = (0, 0) if fitted else stepped(parts, plan)
    after = having(parts.regularizers, "after_step")
    named: dict[str, Tensor] = dict(parts.model.named_parameters())
    averages = _bytes([t for r in after for t in pytree.tree_leaves(r.init(named)) if isinstance(t, Tensor)])
    best = parts.values["save"] == "best" or any(r.keep == "best" for r in having(parts.regularizers, "should_stop"))
    x = first_samples(dataset, 1)[0]
    drawn = evaluated(parts.task, dataset.part("val"), "val", parts.values["split"]["seed"])
    together = evaluated_together(plan, x, 1 if drawn is None else drawn.shape[1])
    most = max(size(dataset.part(split)) for split in ("val", "test")) if drawn is None else len(drawn)
    glibc = device == "cpu" and sys.platform.startswith("linux")
    weights = [] if fitted else list(parts.model.parameters())
    compared, before = _looks(parts)
    difference = max((p.nbytes for p in weights), default=0) if compared or before else 0
    return MemoryEstimate(
        parameters=own,
        gradients=_bytes([p for p in parts.model.parameters() if p.requires_grad]),
        optimizer=state,
        stepping=max(stepping + (own if after else 0), difference),  # averages are told the weights before the step
        averages=averages,
        copies=(own if best else 0) + compared * _bytes(weights),
        looking=before * _bytes(weights),
        data=data_bytes(dataset),
        forward=() if fitted else _both(parts, dataset, plan, _trained),
        evaluation=() if fitted else _both(parts, dataset, plan, _tested),
        evaluated=min(together, most),
        batch_size=plan.batch_size,
        accumulated=plan.accumulate > 1,
        kept_below=HANDED_BACK if glibc else 0,
    )


Pass = Callable[[RunComponents, nn.Module, Tensor, Tensor, Noise], object]


def _both(parts: RunComponents, dataset: Dataset, plan: Plan, run: Pass) -> tuple[ScaledAllocation, ...]:
    """A pass of a few samples and one of twice as many, through the model."""
    few = max(1, min(FEW, plan.n // 2))
    many = min(2 * few, plan.n)
    with _unchanged(parts.model):
        found = [_one(parts, parts.model, dataset, plan, run, count) for count in (few, many)]
    return tuple(affine(found[0], few, found[1], many))


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Puts buffers and modes back. A copy of the model would take as much memory as is to be told."""
    kept = [(t, t.clone()) for t in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for t, was in kept:
            t.copy_(was)
        for module, mode in modes:
            module.training = mode


def _one(
    parts: RunComponents, model: nn.Module, dataset: Dataset, plan: Plan, run: Pass, count: int
) -> AllocationTrace:
    x, y = _batch(parts, dataset, plan, count)
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    noise = Noise(keys(torch.tensor(plan.seed), 0))
    with watching(model, [x, y]) as ledger, Redirect(noise):
        x, y = (t.to(dtype, copy=True) if t.is_floating_point() else t.clone() for t in (x, y))
        made = run(parts, model, x, y, noise)
    del made  # gradients are there until the ledger is closed
    return ledger


def _batch(parts: RunComponents, dataset: Dataset, plan: Plan, count: int) -> tuple[Tensor, Tensor]:
    if plan.each == 1:
        return first_samples(dataset, count)
    assert isinstance(dataset.train, Samples)
    index = order(parts.task, dataset.train, plan, 0)[: count * plan.each]
    return dataset.train.x[index], dataset.train.y[index]


def _bound(model: nn.Module) -> Callable[..., Any]:
    return lambda *x, method="forward": model(*x) if method == "forward" else getattr(model, method)(*x)


def _trained(parts: RunComponents, model: nn.Module, x: Tensor, y: Tensor, noise: Noise) -> object:
    """A batch's losses and gradients, as `Alone` has them."""
    model.train()
    for augment in parts.augmentations:
        x, y = augment(x, y, noise)
    for regularizer in having(parts.regularizers, "target"):
        y = regularizer.target(y)
    named = dict(model.named_parameters())
    with torch.set_grad_enabled(parts.gradient):
        losses = parts.task.losses(_bound(model), (x, y), noise)
    if not parts.gradient:
        return losses
    found = []
    groups = {g: names for g, names in parts.task.groups(model).items() if names}
    for at, (group, names) in enumerate(groups.items()):
        params: dict[str, Tensor] = {name: named[name] for name in names}
        loss = losses[group]
        for regularizer in having(parts.regularizers, "penalty"):
            loss = loss + regularizer.penalty(params)
        retain = at + 1 < len(groups)
        found.append(torch.autograd.grad(loss, list(params.values()), allow_unused=True, retain_graph=retain))
    return found


def _tested(parts: RunComponents, model: nn.Module, x: Tensor, y: Tensor, noise: Noise) -> object:
    model.eval()
    with torch.no_grad():
        return parts.task.evaluate(_bound(model), (x, y), noise)


def stepped(parts: RunComponents, plan: Plan) -> tuple[int, int]:
    """Bytes of the optimizers' state, and what a step makes on the way: each is stepped on parameters of the same
    proportions, and of fewer numbers where they are many.
    """
    named = dict(parts.model.named_parameters())
    state = passing = 0
    for group, names in parts.task.groups(parts.model).items():
        if not names:
            continue
        real = [named[name] for name in names]
        small = {name: nn.Parameter(torch.randn(shape) * 0.1) for name, shape in zip(names, _shapes(real), strict=True)}
        optimizer = parts.optimizer(
            params=list(small.values()),
            named_params=list(small.items()),
            total_steps=plan.total_steps,
            generator=seeds.generator(plan.seed, "optimizer", group),
        )
        kept, most = _stepped(optimizer, list(small.values()), parts.closure, min(plan.total_steps, STEPS))
        times = _bytes(real) / _bytes(small.values())
        state += round(kept * times)
        passing = max(passing, round((most - kept) * times))
    return state, passing


def _shapes(params: Sequence[Tensor]) -> list[list[int]]:
    """The parameters' shapes, their sides shortened alike until there are few numbers."""
    by = 1.0
    while True:
        shapes = [[max(min(side, 2), round(side / by)) for side in p.shape] for p in params]
        if sum(math.prod(shape) for shape in shapes) <= NUMBERS or by > 1e4:
            return shapes
        by *= 1.5


def _stepped(
    optimizer: torch.optim.Optimizer, params: list[nn.Parameter], closure: bool, steps: int
) -> tuple[int, int]:
    """(bytes that are there after some steps, the most bytes at one time)"""
    grads = [torch.randn_like(p) for p in params]

    def again() -> Tensor:
        for p, g in zip(params, grads, strict=True):
            p.grad = p.detach() + 0.1 * g
        return sum(((p.detach() + 0.1 * g).square().sum() for p, g in zip(params, grads, strict=True)), torch.zeros(()))

    kept = most = 0
    model = nn.Module()
    for step in range(max(2, steps if closure else 2)):
        for p, g in zip(params, grads, strict=True):
            p.grad = g.clone()
        there = _state(optimizer, params)
        with watching(model, [*params, *grads]) as ledger:
            optimizer.step(again) if closure else optimizer.step()  # type: ignore[arg-type]
        before, kept = kept, _state(optimizer, params)
        of_closure = _bytes(params) if closure else 0  # the gradients that it puts in place
        most = max(most, there + sum(peaks(affine(ledger, 1, ledger, 1), 1)) - of_closure, kept)
        if step > 1 and kept == before:
            break
    return kept, most


def _state(optimizer: torch.optim.Optimizer, params: Sequence[Tensor]) -> int:
    held = [t for t in pytree.tree_leaves(dict(optimizer.state)) if isinstance(t, Tensor)]
    own = {storage_id(p) for p in params}
    return sum({key: t.untyped_storage().nbytes() for t in held if (key := storage_id(t)) not in own}.values())


def _bytes(tensors: Any) -> int:
    return sum(t.nbytes for t in tensors)
