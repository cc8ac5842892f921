"""Training and evaluation of a single model, outside of a stack."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import pytree
from harness.datasets.dataset import Part, Samples, size
from harness.modeling.builder import RunComponents, step_code
from harness.modeling.calling import call_method, cast, dtype_of
from harness.modeling.channels_last import POOLS
from harness.modeling.estimator import EstimatorModule
from harness.modeling.regularizer import having
from harness.modeling.rng.noise import GlobalBatch, Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.training.batches import Transformed
from harness.training.diagnostics.runner import DiagnosticRunner
from harness.training.distributed import all_reduce_sum
from harness.training.metric_value import metric_value
from harness.training.param_group import ParamGroup
from harness.training.plan import Plan, epoch_order, evaluation_tuples, shard
from harness.training.recorded.function import RecordedFunctions, has_own_hooks, least_calls, refuse_recording
from harness.training.recorded.lifetimes import LINE

WORTH = 40  # steps that are worth a recording: it takes the time that so many replayed ones save
GATHER_BYTES = 1 << 20  # of inputs gathered at a time: they stay in the processor's cache
EVALUATION = 1 << 40  # the first noise key of evaluation: no step has it
GRADIENT_PLACE = 1 << 20  # the first place of the noise of a step's gradients: no forward pass has it
EVALUATION_ELEMENTS = 1 << 18  # the most elements in the inputs of a batch of evaluation
EVALUATION_BATCHES = 4  # of a split whose evaluation is recorded, at most; a larger one spends its time in kernels


@dataclass(frozen=True)
class _StepBatch:
    """A batch of a step after augmentation, with the noise of its forward pass."""

    key: Tensor
    x: Tensor
    y: Tensor
    rows: GlobalBatch | None
    place: int
    share: float


class SinglePath:
    """Train one run by itself: a training path with a single row.

    Args:
        parts: The components of the run.
        plan: The plan of the run.
        data: The splits by name.
        device: The device of the model.
        ranks: This process's rank and the number of processes.
        make_group: Makes the group of the parameters that one loss trains.
    """

    def __init__(
        self,
        parts: RunComponents,
        plan: Plan,
        data: dict[str, Part],
        device: torch.device,
        ranks: tuple[int, int],
        make_group: Callable[..., ParamGroup] = ParamGroup,
    ):
        self.parts, self.plan, self.device = parts, plan, device
        self.rank, self.world = ranks
        self.model = parts.model
        self.dtype = dtype_of(self.model)
        self.data = {split: self._to_device(part) for split, part in data.items()}
        self.train_part = data["train"]  # not moved to the device: tuples are drawn on the CPU
        seed = parts.values["split"]["seed"]
        self.evaluates_train = parts.evaluates_train
        evaluated = ("train", "val", "test") if self.evaluates_train else ("val", "test")
        self.tuples = {split: evaluation_tuples(parts.task, data[split], split, seed) for split in evaluated}
        named = dict(self.model.named_parameters())
        self.groups = [
            make_group(group, {name: named[name] for name in names}, parts, plan)
            for group, names in parts.task.groups(self.model).items()
            if names
        ]
        self.penalties = having(parts.regularizers, "penalty")
        self.target_hooks = having(parts.regularizers, "target")
        self.gradient_hooks = having(parts.regularizers, "gradient")
        self.averages = having(parts.regularizers, "evaluate")
        self.metrics = {split: {name: make().to(device) for name, make in parts.metrics.items()} for split in evaluated}
        self._order = torch.empty(0, dtype=torch.int64)
        self._step_batches: list[_StepBatch] = []  # kept for an optimizer that evaluates the loss again
        self.diagnostic_runner: DiagnosticRunner | None = None
        code, worth = step_code([parts]), least_calls(parts.values, WORTH)
        refusal = refuse_recording(parts.values, device)
        if isinstance(self.model, EstimatorModule):
            refusal = "an estimator makes no steps"
        elif self.world > 1:
            refusal = "several processes share a step"
        elif parts.callbacks:
            refusal = "callbacks follow each step"
        self._recorded_evaluation = RecordedFunctions(code, refusal, worth)
        closure = parts.closure or not parts.gradient
        self._recorded = RecordedFunctions(code, refusal or "the optimizer evaluates the loss itself" * closure, worth)
        self._has_hooks = has_own_hooks(parts.regularizers)
        self._batches = Counter((plan.size(batch), plan.share(batch)) for batch in range(plan.batches))

    @property
    def plain_because(self) -> str:
        """The reason why no step was replayed from a recording; empty if one was."""
        return self._recorded.plain_because

    def _to_device(self, part: Part) -> Part:
        """Move in-memory samples to the device if half of its memory stays free; others are moved batch by batch."""
        if not isinstance(part, Samples):
            return part
        x, y = self._cast(part.x), self._cast_target(part.y)
        if self.device.type == "cuda" and x.nbytes + y.nbytes > torch.cuda.mem_get_info(self.device)[0] / 2:
            return Samples(x, y)
        return Samples(x.to(self.device), y.to(self.device))

    def _cast(self, tensor: Tensor) -> Tensor:
        return cast(tensor, self.dtype)

    def _cast_target(self, y: Tensor) -> Tensor:
        return y if self.parts.task.exact_targets else self._cast(y)

    def start_epoch(self, epoch: int) -> None:
        """Draw the order of the epoch and set modules and optimizers to training."""
        self.epoch = epoch
        order = epoch_order(self.parts.task, self.train_part, self.plan, epoch)
        self._order = order.to(self.device, non_blocking=True)
        self._set_mode(True)
        self._recorded.check()

    def train(self, batches: range) -> Tensor:
        """Train on in-memory batches of this epoch; return the losses of the global batches `[batches, 1]`."""
        batch_keys = self._keys(batches)
        gathered = zip(self.gather(batches), batch_keys, strict=True)
        losses = [self._train_batch(batch, x, y, key, whole=True) for (batch, x, y), key in gathered]
        return self._sum_over_processes(torch.stack(losses))

    def _keys(self, batches: range) -> Sequence[Tensor]:
        """Return the noise keys of batches of this epoch."""
        first = self.epoch * self.plan.batches
        numbers = torch.arange(first + batches.start, first + batches.stop, device=self.device)
        return keys(torch.tensor(self.plan.seed, device=self.device), numbers).unbind()

    def gather(self, batches: range) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield the samples of each batch; several small batches are gathered by one call."""
        part, size = self.data["train"], self.plan.samples
        assert isinstance(part, Samples)
        at_once = max(1, GATHER_BYTES // max(1, part.x[:1].nbytes * size))
        for first in range(batches.start, batches.stop, at_once):
            last = min(first + at_once, batches.stop)
            index = self._order[first * size : last * size].to(part.x.device)
            x, y = (t.index_select(0, index).to(self.device) for t in (part.x, part.y))
            yield from zip(range(first, last), x.split(size), y.split(size), strict=True)

    def train_on(self, batch: int, x: Tensor, y: Tensor) -> Tensor:
        """Train on this process's samples of a batch from a loader; return the loss `[1, 1]`."""
        x, y = self._cast(x).to(self.device), self._cast_target(y).to(self.device)
        (key,) = self._keys(range(batch, batch + 1))
        return self._sum_over_processes(self._train_batch(batch, x, y, key, whole=False)[None])

    def _sum_over_processes(self, losses: Tensor) -> Tensor:
        if self.world > 1:
            all_reduce_sum([losses])
        return losses[:, None]

    def _train_batch(self, batch: int, x: Tensor, y: Tensor, key: Tensor, whole: bool) -> Tensor:
        """Train on a batch: the `whole` global batch, or this process's samples of it."""
        self._number = self.epoch * self.plan.batches + batch
        runner, step = self.diagnostic_runner, self.plan.step_of(self._number)
        measured = runner is not None and step >= runner.next
        form = self.plan.size(batch), self.plan.share(batch), whole
        calls = self.plan.epochs * self._batches[form[:2]]
        recorded, compute = self._recorded.of(*form, calls=calls), functools.partial(self._compute_batch, *form)
        plain = measured or x.data_ptr() % LINE != 0  # a product has other bits with operands at another place
        fixed = recorded.program is not None and not plain and self.plan.accumulate == 1
        loss, grads = compute(x, y, key) if plain else recorded(compute, x, y, key)
        ends_step = self.plan.ends_step(batch)
        if self.plan.accumulate > 1 and not self.parts.closure:
            for group in self.groups:
                group.gradients.add(grads[group.name])
            if ends_step:
                grads = {g.name: self._step_gradients(g, g.gradients.take(list(g.params)), key) for g in self.groups}
        if ends_step:
            self._step(step, grads, measured, fixed)
        return loss.clone()

    def _compute_batch(
        self, count: int, share: float, whole: bool, x: Tensor, y: Tensor, key: Tensor
    ) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Return the loss of a batch, and the gradients of each group unless the optimizer evaluates them itself.

        Args:
            count: Items in the global batch.
            share: The share of the batch in its step.
            whole: The samples are the global batch, and not this process's share of it.
            x: Inputs.
            y: Targets.
            key: The key of the noise.
        """
        local = shard(count, self.rank, self.world)
        noise = Noise(key, None if whole or self.world == 1 else local)
        for augment in self.parts.augmentations:
            x, y = augment(x, y, noise)
        for regularizer in self.target_hooks:
            y = regularizer.target(y)
        if whole and self.world > 1:
            samples = slice(local.start * self.plan.each, (local.start + local.count) * self.plan.each)
            x, y = x[samples], y[samples]
            noise.rows = local
        share = share * local.count / local.total
        if self.parts.closure:
            self._step_batches.append(_StepBatch(key, x, y, noise.rows, noise.place, share))
        with self.redirect_noise(noise), torch.set_grad_enabled(self.parts.gradient):
            losses = self.parts.task.losses(self._call, (x, y), noise)
        grads = {}
        for group in self.groups if not self.parts.closure else []:
            loss = self._weighted_loss(group, losses[group.name], share)
            grads[group.name] = group.differentiate(loss, last=group is self.groups[-1])
            if self.plan.accumulate == 1:
                grads[group.name] = self._step_gradients(group, grads[group.name], key)
        first, *more = (loss.detach() for loss in losses.values())
        total = sum(more, first)
        return total if local.count == local.total else total * (local.count / local.total), grads

    def _weighted_loss(self, group: ParamGroup, loss: Tensor, share: float) -> Tensor:
        """Add the penalties, and weight the sum by the batch's share of its step."""
        for regularizer in self.penalties:
            loss = loss + regularizer.penalty(dict(group.params))
        return loss if share == 1.0 else loss * share

    def _step(self, step: int, grads: dict[str, dict[str, Tensor]], measured: bool, fixed: bool) -> None:
        runner = self.diagnostic_runner if measured else None
        due = None if runner is None else runner.begin(step)
        lr = self.lr()
        for group in self.groups:
            if self.parts.closure:
                closure = functools.partial(self._evaluate_closure, group, grads)
                group.step(functools.partial(group.optimizer.step, closure))
            else:
                group.step_with(grads[group.name], fixed)
        self._step_batches = []
        if self._has_hooks:
            self._recorded.check()
        if runner is not None and due is not None:
            runner.end(due, {name: g for named in grads.values() for name, g in named.items()}, lr)

    def _step_gradients(self, group: ParamGroup, grads: dict[str, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Return the gradients of the step, summed over processes and changed by regularizers."""
        if self.world > 1:
            all_reduce_sum(list(grads.values()))
        for regularizer in self.gradient_hooks:
            noise = Noise(key, place=GRADIENT_PLACE, count_steps=self._count_steps)
            grads = regularizer.gradient(grads, dict(group.params), noise)
        return grads

    def _count_steps(self) -> int:
        self._recorded.refuse("a regularizer reads the number of the step")
        return self.plan.step_of(self._number)

    def _evaluate_closure(self, group: ParamGroup, grads: dict[str, dict[str, Tensor]]) -> Tensor:
        """Return a group's loss over the batches of this step and set its gradients; the noise is always the same."""
        total = torch.zeros((), device=self.device)
        with torch.set_grad_enabled(self.parts.gradient):
            for batch in self._step_batches:
                noise = Noise(batch.key, batch.rows, batch.place)
                with self.redirect_noise(noise):
                    losses = self.parts.task.losses(self._call, (batch.x, batch.y), noise)
                loss = self._weighted_loss(group, losses[group.name], batch.share)
                if self.parts.gradient:
                    group.gradients.add(group.differentiate(loss, last=True))
                total = total + loss.detach()
        if self.parts.gradient:
            sums = group.gradients.take(list(group.params))
            grads[group.name] = self._step_gradients(group, sums, self._step_batches[-1].key)
            group.set_gradients(grads[group.name])
        if self.world > 1:
            all_reduce_sum([total])
        return total

    def redirect_noise(self, noise: Noise) -> AbstractContextManager[Any]:
        """Context in which the model's random functions draw from `noise`, and pooling is fast."""
        probe = self.parts.probe
        return Redirect(noise, POOLS) if probe.noisy or probe.pools else nullcontext()

    def key(self, number: int) -> Callable[[], Tensor]:
        """Return a function that makes the noise key of a batch, int64 `[]`; many batches draw nothing."""
        return lambda: keys(torch.tensor(self.plan.seed, device=self.device), number)

    def _call(self, *x: Any, method: str = "forward") -> Any:
        return call_method(self.model, method, *x)

    def _set_mode(self, training: bool) -> None:
        self.model.train(training)
        for group in self.groups:
            switch = getattr(group.optimizer, "train" if training else "eval", None)
            if callable(switch):
                switch()

    def evaluate(self, split: str) -> list[dict[str, float]]:
        """Return loss and metrics on a split, as `[{"val/loss": ...}]`; each process evaluates its share."""
        bounds = self.evaluation_bounds(split)
        recordable = split != "test" and isinstance(self.data[split], Samples) and len(bounds) <= EVALUATION_BATCHES
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        with self.evaluating():
            self._recorded_evaluation.check()  # in the mode in which it was recorded
            for first, count in bounds:
                local = shard(count, self.rank, self.world)
                if not local.count:
                    continue
                compute = functools.partial(self._evaluate_slice, split, first, local)
                key = self.key(EVALUATION + first)
                recorded = self._recorded_evaluation.of(split, first, calls=self.plan.epochs)
                losses, outputs = recorded(compute, key()) if recordable else compute(key)
                self.add_evaluated(split, total, losses, outputs, local.count)
        return [self.evaluated(split, total)]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Context in which the model is evaluated."""
        self._set_mode(False)
        with torch.no_grad(), self._evaluation_weights():
            yield

    def evaluation_bounds(self, split: str) -> list[tuple[int, int]]:
        """Return the first item and the number of items of each batch in which a split is evaluated."""
        part, tuples = self.data[split], self.tuples[split]
        n, each = (size(part), 1) if tuples is None else tuples.shape
        step = evaluation_batch_size(self.plan, part.x if isinstance(part, Samples) else part[0][0][None], each)
        return [(first, min(step, n - first)) for first in range(0, n, step)]

    def add_evaluated(
        self, split: str, total: Tensor, losses: dict[str, Tensor], outputs: tuple[Tensor, ...], count: int
    ) -> None:
        """Add the losses of `count` items to `total`, float64 `[]`, and update the metrics of their split."""
        for loss in losses.values():
            total += loss.double() * count
        for metric in self.metrics[split].values():
            metric.update(*outputs)

    def evaluated(self, split: str, total: Tensor) -> dict[str, float]:
        """Return the mean of the summed losses of a split and its metrics, which are reset."""
        if self.world > 1:
            all_reduce_sum([total])
        tuples = self.tuples[split]
        values = {f"{split}/loss": float(total) / (size(self.data[split]) if tuples is None else len(tuples))}
        for name, metric in self.metrics[split].items():
            values[f"{split}/{name}"] = metric_value(metric)
            metric.reset()
        return values

    def _evaluate_slice(self, split: str, first: int, local: GlobalBatch, key: Tensor | Callable[[], Tensor]) -> Any:
        """Return the losses and outputs of this process's share of the items from `first` of a split."""
        x, y = self.slice(self.data[split], first + local.start, local.count, self.tuples[split])
        return self.evaluate_batch(x, y, local, key)

    def evaluate_batch(self, x: Tensor, y: Tensor, local: GlobalBatch, key: Tensor | Callable[[], Tensor]) -> Any:
        """Return the losses and outputs of this process's share of a batch."""
        noise = Noise(key, local if self.world > 1 else None)
        with self.redirect_noise(noise):
            return self.parts.task.evaluate(self._call, (x, y), noise)

    def slice(self, part: Part, first: int, count: int, tuples: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return samples `first` to `first + count - 1` of a split on the device, or those of its tuples."""
        if isinstance(part, Samples):
            if tuples is not None:
                index = tuples[first : first + count].flatten().to(part.x.device)
                return part.x[index].to(self.device), part.y[index].to(self.device)
            return tuple(t[first : first + count].to(self.device) for t in (part.x, part.y))  # type: ignore[return-value]
        assert isinstance(part, Transformed)
        places = range(first, first + count) if tuples is None else tuples[first : first + count].flatten().tolist()
        x, y = part.__getitems__(places)
        return self._cast(x).to(self.device), self._cast_target(y).to(self.device)

    @contextmanager
    def _evaluation_weights(self) -> Iterator[None]:
        """Context in which the model has the parameters that regularizers evaluate, such as averages."""
        if not self.averages:
            yield
            return
        before = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        for group in self.groups:
            params: dict[str, Tensor] = {n: p.detach() for n, p in group.params.items()}
            for regularizer, state in group.after_step:
                if regularizer in self.averages:
                    params = regularizer.evaluate(params, state)
            for name, p in group.params.items():
                p.copy_(params[name])
        try:
            yield
        finally:
            for name, p in self.model.named_parameters():
                p.copy_(before[name])

    def weights(self, row: int = 0) -> dict[str, Tensor]:
        """Return a copy of the weights that evaluation uses."""
        self._set_mode(False)
        with torch.no_grad(), self._evaluation_weights():
            return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def load(self, row: int, weights: dict[str, Tensor]) -> None:
        """Load weights from `weights()`; evaluation uses them as they are and averages nothing again."""
        self.model.load_state_dict(weights)
        self.averages = []

    def end_epoch(self, metrics: list[dict[str, float]]) -> None:
        """Pass the metrics of an epoch to the schedules."""
        for group in self.groups:
            group.schedule.end_epoch(metrics[0])

    def lr(self, row: int = 0) -> float:
        """Return the learning rate of the next step."""
        return self.groups[0].schedule.lr if self.groups else 0.0

    def state(self, row: int = 0) -> dict[str, Any]:
        """Return the state for a checkpoint: the parameters as they are trained, not as they are evaluated."""
        return {
            "model": {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()},
            "groups": [
                {
                    "optimizer": copy.deepcopy(group.optimizer.state_dict()),
                    "schedule": group.schedule.state(),
                    "after": [state for _, state in group.after_step],
                }
                for group in self.groups
            ],
            "drawn": torch.get_rng_state(),
        }

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Continue from the state of a checkpoint."""
        (state,) = states
        self.model.load_state_dict(state["model"])
        for group, saved in zip(self.groups, state["groups"], strict=True):
            group.optimizer.load_state_dict(saved["optimizer"])
            group.forget_memory()
            group.schedule.restore(saved["schedule"])
            after = [pytree.tree_map_only(Tensor, lambda t: t.to(self.device), s) for s in saved["after"]]
            group.after_step = [(r, s) for (r, _), s in zip(group.after_step, after, strict=True)]
        torch.set_rng_state(state["drawn"].cpu())
        self._recorded.reset()
        self._recorded_evaluation.reset()

    def keep(self, rows: Sequence[int]) -> None:
        """Do nothing: there is one row only."""


class EstimatorPath(SinglePath):
    """Train an estimator: its model is fitted as a whole in the first batch, and makes no steps."""

    _fitted = False

    def _train_batch(self, batch: int, x: Tensor, y: Tensor, key: Tensor, whole: bool) -> Tensor:
        if not self._fitted:
            train = self.data["train"]
            assert isinstance(train, Samples)
            assert isinstance(self.model, EstimatorModule)
            self.model.estimator.fit(Samples(train.x.cpu(), train.y.cpu()))
            self._fitted = True
        with torch.no_grad():
            losses, _ = self.parts.task.evaluate(self._call, (x, y), Noise(key))
        return sum(losses.values(), torch.zeros((), device=self.device))


def evaluation_batch_size(plan: Plan, x: Tensor, each: int = 1) -> int:
    """Return how many items are evaluated at a time.

    The number is a function of data and task alone, so that sums are always rounded the same.

    Args:
        plan: The plan of the run.
        x: Inputs, `[n, ...]`.
        each: Samples in an item.
    """
    elements = each * x.shape[1:].numel()
    return max(plan.batch_size, min(512, EVALUATION_ELEMENTS // max(1, elements)))
