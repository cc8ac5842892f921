"""Estimate the memory of a run from a trace of a few samples, scaled to its batches."""

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
from harness.datasets.dataset import SPLITS, Dataset, Samples, size
from harness.datasets.sampling import first_samples
from harness.modeling.builder import STEP_KINDS, RunComponents
from harness.modeling.calling import calling, dtype_of
from harness.modeling.channels_last import POOLS
from harness.modeling.estimator import EstimatorModule
from harness.modeling.regularizer import having
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system import session
from harness.training.memory.allocations import (
    AllocationTrace,
    ScaledAllocation,
    peak_bytes,
    scale_trace,
    trace_allocations,
)
from harness.training.plan import Plan, epoch_order, evaluation_tuples
from harness.training.recorded.function import LARGE, refuse_recording
from harness.training.resources import use_threads
from harness.training.single import evaluation_batch_size

HEAP_BELOW = 1 << 25  # bytes: when glibc frees larger blocks, it returns them to the system; it keeps smaller ones
# The heap per byte of smaller blocks in use: fitted to measured peaks (docs/explanation/memory.md), not derived.
FRAGMENTATION = 1.75
ITEMS = 4  # samples or tuples of the first trace; the second one has twice as many
STEPPED_ELEMENTS = 1 << 16  # approximate size of the parameters on which an optimizer is measured
STEPS = 128  # the most steps of an optimizer whose state grows (a history of steps)


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of one run, in bytes.

    Attributes:
        parameters: Parameters and buffers.
        gradients: Gradients of the parameters.
        optimizer: The state of the optimizers.
        optimizer_step: Temporary tensors of an optimizer step.
        averages: Tensors that regularizers keep beside the weights.
        weight_copies: Copies of the best weights so far, and of the first ones if diagnostics compare with them.
        previous_weights: A copy of the weights before a step, if diagnostics compare with it.
        data: Samples in memory.
        forward: Blocks of the forward and backward pass of a batch.
        evaluation: Blocks of a batch of evaluation.
        evaluation_size: Samples, or tuples, in the largest batch of evaluation.
        batch_size: Samples, or tuples, in a batch of the run.
        accumulated: True if a step has several batches.
        recorded: True if steps and evaluation may be replayed, in memory of their own.
        heap_below: Freed blocks of fewer bytes stay with the process.
    """

    parameters: int
    gradients: int
    optimizer: int
    optimizer_step: int
    averages: int
    weight_copies: int
    previous_weights: int
    data: int
    forward: tuple[ScaledAllocation, ...]
    evaluation: tuple[ScaledAllocation, ...]
    evaluation_size: int
    batch_size: int
    accumulated: bool
    recorded: bool
    heap_below: int

    def activations(self, batch_size: int) -> dict[str, int]:
        """Return the bytes that autograd saves for the backward pass, by layer.

        The name is empty for tensors that no layer makes, as in the loss and in reshaping.
        """
        saved: dict[str, int] = {}
        for scaled in self.forward:
            if scaled.allocation.saved:
                layer = scaled.allocation.layer
                saved[layer] = saved.get(layer, 0) + scaled.bytes(batch_size)
        return saved

    def parts(self) -> dict[str, int]:
        """Return the bytes of the parts of the run's memory, in plain data.

        `activations` are what autograd saves for the backward pass of a batch.
        """
        return {
            "parameters": self.parameters,
            "gradients": self.gradients,
            "optimizer": self.optimizer,
            "activations": sum(self.activations(self.batch_size).values()),
            "data": self.data,
        }

    @property
    def step(self) -> int:
        """The bytes of the tensors that a step of a run makes, at their peak."""
        return sum(peak_bytes(self.forward, self.batch_size))

    def total(self, batch_size: int | None = None) -> int:
        """Return the peak in bytes, with the data.

        Args:
            batch_size: Samples, or tuples, in a batch; None for the batch size of the run.
        """
        lasting = self.parameters + self.optimizer + self.averages + self.weight_copies + self.data
        training, training_heap = peak_bytes(self.forward, batch_size or self.batch_size, self.heap_below)
        if self.accumulated:  # the old sum, the gradients of the batch, and the new sum
            training = max(training + self.gradients, 3 * self.gradients)
        stepping = self.gradients + self.previous_weights + self.optimizer_step
        evaluating, evaluation_heap = peak_bytes(self.evaluation, self.evaluation_size, self.heap_below)
        saving = self.parameters  # a copy of the weights
        heap = round(FRAGMENTATION * max(training_heap, evaluation_heap))
        replayed = sum(t for t in (training + training_heap, evaluating + evaluation_heap) if t <= LARGE)
        return lasting + max(training, stepping, evaluating, saving) + heap + replayed * self.recorded


class MemoryEstimates(dict[str, MemoryEstimate]):
    """Estimates by everything on which they depend."""


def estimate_memory(parts: RunComponents, dataset: Dataset, plan: Plan, device: str = "cpu") -> MemoryEstimate:
    """Estimate the memory of a run; runs of one shape share the estimate.

    Args:
        parts: The components of the run.
        dataset: Its data.
        plan: Its plan.
        device: The type of its device.

    Raises:
        Exception: If a step of the run raises it.
    """
    key = _key(parts, dataset, plan, device)
    estimates = session.state(MemoryEstimates)
    if key not in estimates:
        with use_threads(1), torch.random.fork_rng(devices=[]):
            estimates[key] = _estimate(parts, dataset, plan, device)
    return estimates[key]


def _key(parts: RunComponents, dataset: Dataset, plan: Plan, device: str) -> str:
    """Return everything on which the estimate depends; of a float (a rate, a strength), only whether it is zero."""
    settings = [_without_floats(parts.values[kind]) for kind in (*STEP_KINDS, "optimizer")]
    shapes = [list(p.shape) for p in parts.model.parameters()]
    splits = [size(dataset.part(split)) for split in SPLITS]
    plan_key = [plan.batch_size, plan.accumulate > 1, plan.n, plan.each, min(plan.total_steps, STEPS)]
    data_key = [list(dataset.inputs), splits, data_bytes(dataset)]
    rest = [parts.values["save"], parts.values["recording"], *data_key, plan_key, device, *_compared_weights(parts)]
    return json.dumps([settings, shapes, rest], default=str)


def _compared_weights(parts: RunComponents) -> tuple[bool, bool]:
    """Return whether diagnostics of steps need a copy of the first weights, and one of the weights before the step."""
    asks = {ask for d in parts.diagnostics.values() if d.when == "step" for ask in d.asks}
    return bool(asks & {"start", "start_layers"}), "previous" in asks


def _without_floats(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {name: _without_floats(value) for name, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_without_floats(value) for value in node]
    return bool(node) if isinstance(node, float) else node


def data_bytes(dataset: Dataset) -> int:
    """Return the bytes of the samples in memory."""
    parts = [dataset.part(split) for split in SPLITS]
    return sum(p.x.nbytes + p.y.nbytes for p in parts if isinstance(p, Samples))


def _estimate(parts: RunComponents, dataset: Dataset, plan: Plan, device: str) -> MemoryEstimate:
    parameters = _total_bytes([*parts.model.parameters(), *parts.model.buffers()])
    fitted = isinstance(parts.model, EstimatorModule)
    state, temporary = (0, 0) if fitted else optimizer_memory(parts, plan)
    after = having(parts.regularizers, "after_step")
    named: dict[str, Tensor] = dict(parts.model.named_parameters())
    averages = _total_bytes([t for r in after for t in pytree.tree_leaves(r.init(named)) if isinstance(t, Tensor)])
    best = parts.values["save"] == "best" or any(r.keep == "best" for r in having(parts.regularizers, "should_stop"))
    x = first_samples(dataset, 1)[0]
    tuples = evaluation_tuples(parts.task, dataset.part("val"), "val", parts.values["split"]["seed"])
    evaluation_size = evaluation_batch_size(plan, x, 1 if tuples is None else tuples.shape[1])
    evaluated = ("train", "val", "test") if parts.evaluates_train else ("val", "test")
    items = max(size(dataset.part(split)) for split in evaluated) if tuples is None else len(tuples)
    glibc = device == "cpu" and sys.platform.startswith("linux")
    weights = [] if fitted else list(parts.model.parameters())
    first_weights, previous_weights = _compared_weights(parts)
    difference = max((p.nbytes for p in weights), default=0) if first_weights or previous_weights else 0
    return MemoryEstimate(
        parameters=parameters,
        gradients=_total_bytes([p for p in parts.model.parameters() if p.requires_grad]),
        optimizer=state,
        # regularizers after a step get a copy of the weights before it
        optimizer_step=max(temporary + (parameters if after else 0), difference),
        averages=averages,
        weight_copies=(parameters if best else 0) + first_weights * _total_bytes(weights),
        previous_weights=previous_weights * _total_bytes(weights),
        data=data_bytes(dataset),
        forward=() if fitted else _trace_pass(parts, dataset, plan, _training_pass),
        evaluation=() if fitted else _trace_pass(parts, dataset, plan, _evaluation_pass),
        evaluation_size=min(evaluation_size, items),
        batch_size=plan.batch_size,
        accumulated=plan.accumulate > 1,
        recorded=not fitted and not refuse_recording(parts.values, torch.device(device)),
        heap_below=HEAP_BELOW if glibc else 0,
    )


Pass = Callable[[RunComponents, nn.Module, Tensor, Tensor, Noise], object]


def _trace_pass(parts: RunComponents, dataset: Dataset, plan: Plan, run_pass: Pass) -> tuple[ScaledAllocation, ...]:
    """Trace a pass of a few samples and one of twice as many."""
    few = max(1, min(ITEMS, plan.n // 2))
    many = min(2 * few, plan.n)
    with _restored(parts.model):
        small, large = (_trace_items(parts, parts.model, dataset, plan, run_pass, count) for count in (few, many))
    return tuple(scale_trace(small, few, large, many))


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Context that restores buffers and modes; a copy of the model would take the memory that is estimated."""
    buffers = [(t, t.clone()) for t in model.buffers()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for t, before in buffers:
            t.copy_(before)
        for module, mode in modes:
            module.training = mode


def _trace_items(
    parts: RunComponents, model: nn.Module, dataset: Dataset, plan: Plan, run_pass: Pass, count: int
) -> AllocationTrace:
    x, y = _batch(parts, dataset, plan, count)
    dtype = dtype_of(model)
    noise = Noise(keys(torch.tensor(plan.seed), 0))
    with trace_allocations(model, [x, y]) as trace, Redirect(noise, POOLS):
        x, y = (t.to(dtype, copy=True) if t.is_floating_point() else t.clone() for t in (x, y))
        result = run_pass(parts, model, x, y, noise)
    del result  # the gradients live until the trace is closed
    return trace


def _batch(parts: RunComponents, dataset: Dataset, plan: Plan, count: int) -> tuple[Tensor, Tensor]:
    if plan.each == 1:
        return first_samples(dataset, count)
    assert isinstance(dataset.train, Samples)
    index = epoch_order(parts.task, dataset.train, plan, 0)[: count * plan.each]
    return dataset.train.x[index], dataset.train.y[index]


def _training_pass(parts: RunComponents, model: nn.Module, x: Tensor, y: Tensor, noise: Noise) -> object:
    """Compute the losses and gradients of a batch as `SinglePath` does."""
    model.train()
    for augment in parts.augmentations:
        x, y = augment(x, y, noise)
    for regularizer in having(parts.regularizers, "target"):
        y = regularizer.target(y)
    named = dict(model.named_parameters())
    with torch.set_grad_enabled(parts.gradient):
        losses = parts.task.losses(calling(model), (x, y), noise)
    if not parts.gradient:
        return losses
    grads = []
    groups = {g: names for g, names in parts.task.groups(model).items() if names}
    for place, (group, names) in enumerate(groups.items()):
        params: dict[str, Tensor] = {name: named[name] for name in names}
        loss = losses[group]
        for regularizer in having(parts.regularizers, "penalty"):
            loss = loss + regularizer.penalty(params)
        retain = place + 1 < len(groups)
        grads.append(torch.autograd.grad(loss, list(params.values()), allow_unused=True, retain_graph=retain))
    return grads


def _evaluation_pass(parts: RunComponents, model: nn.Module, x: Tensor, y: Tensor, noise: Noise) -> object:
    model.eval()
    with torch.no_grad():
        return parts.task.evaluate(calling(model), (x, y), noise)


def optimizer_memory(parts: RunComponents, plan: Plan) -> tuple[int, int]:
    """Measure the memory of the optimizers on parameters of the same proportions, with fewer elements if they are many.

    Returns:
        The bytes of the optimizers' states, and those of the temporary tensors of a step.
    """
    named = dict(parts.model.named_parameters())
    state = temporary = 0
    for group, names in parts.task.groups(parts.model).items():
        if not names:
            continue
        params = [named[name] for name in names]
        shapes = zip(names, _small_shapes(params), strict=True)
        small = {name: nn.Parameter(torch.randn(shape) * 0.1) for name, shape in shapes}
        optimizer = parts.optimizer(
            params=list(small.values()),
            named_params=list(small.items()),
            total_steps=plan.total_steps,
            generator=seeds.generator(plan.seed, "optimizer", group),
        )
        last, peak = _measure_steps(optimizer, list(small.values()), parts.closure, min(plan.total_steps, STEPS))
        factor = _total_bytes(params) / _total_bytes(small.values())
        state += round(last * factor)
        temporary = max(temporary, round((peak - last) * factor))
    return state, temporary


def _small_shapes(params: Sequence[Tensor]) -> list[list[int]]:
    """Return the parameters' shapes, all sides divided by one factor until there are few elements."""
    factor = 1.0
    while True:
        shapes = [[max(min(side, 2), round(side / factor)) for side in p.shape] for p in params]
        if sum(math.prod(shape) for shape in shapes) <= STEPPED_ELEMENTS or factor > 1e4:
            return shapes
        factor *= 1.5


def _measure_steps(
    optimizer: torch.optim.Optimizer, params: list[nn.Parameter], closure: bool, steps: int
) -> tuple[int, int]:
    """Return the bytes of the state after some steps, and the peak during a step with the state."""
    grads = [torch.randn_like(p) for p in params]

    def evaluate_closure() -> Tensor:
        for p, g in zip(params, grads, strict=True):
            p.grad = p.detach() + 0.1 * g
        return sum(((p.detach() + 0.1 * g).square().sum() for p, g in zip(params, grads, strict=True)), torch.zeros(()))

    last = peak = 0
    model = nn.Module()
    for step in range(max(2, steps if closure else 2)):
        for p, g in zip(params, grads, strict=True):
            p.grad = g.clone()
        before = _state_bytes(optimizer, params)
        with trace_allocations(model, [*params, *grads]) as trace:
            optimizer.step(evaluate_closure) if closure else optimizer.step()  # type: ignore[arg-type]
        previous, last = last, _state_bytes(optimizer, params)
        closure_grads = _total_bytes(params) if closure else 0  # counted as gradients already
        peak = max(peak, before + sum(peak_bytes(scale_trace(trace, 1, trace, 1), 1)) - closure_grads, last)
        if step > 1 and last == previous:
            break
    return last, peak


def _state_bytes(optimizer: torch.optim.Optimizer, params: Sequence[Tensor]) -> int:
    tensors = [t for t in pytree.tree_leaves(dict(optimizer.state)) if isinstance(t, Tensor)]
    own = {storage_id(p) for p in params}
    return sum({key: t.untyped_storage().nbytes() for t in tensors if (key := storage_id(t)) not in own}.values())


def _total_bytes(tensors: Any) -> int:
    return sum(t.nbytes for t in tensors)
