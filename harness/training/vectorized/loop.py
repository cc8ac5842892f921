"""Training and evaluation of K runs as one program, over a stack of their models."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from harness.datasets.dataset import Dataset
from harness.modeling.builder import RunComponents, step_code
from harness.modeling.calling import dtype_of
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Call
from harness.system.blas import one_thread
from harness.training.diagnostics.runner import DiagnosticRunner
from harness.training.plan import Plan, epoch_order, evaluation_tuples
from harness.training.recorded.function import TOO_FEW, RecordedFunctions, has_own_hooks, least_calls, refuse_recording
from harness.training.single import EVALUATION, EVALUATION_BATCHES, GRADIENT_PLACE, evaluation_batch_size
from harness.training.vectorized.bitwise import BitwiseProducts
from harness.training.vectorized.data import StackedData
from harness.training.vectorized.lifting import Lifted, with_attributes
from harness.training.vectorized.metric import StackedMetric
from harness.training.vectorized.ops import STACKED
from harness.training.vectorized.param_group import Failure, StackedGroup
from harness.training.vectorized.regularizer import DeferredArg, StackedRegularizer
from harness.training.vectorized.stack import Stack

WORTH = 10  # steps that are worth a recording: it takes the time that so many replayed ones save


class StackedPath:
    """Train K runs as one program: a training path with a row for each run.

    Args:
        parts: The components of each run.
        plans: The plan of each run; they differ in the seed only.
        data: The data set of each run, in memory and all of one shape.
        device: The device of the stack.

    Raises:
        NotStackable: If the runs cannot be stacked.
    """

    def __init__(
        self,
        parts: Sequence[RunComponents],
        plans: Sequence[Plan],
        data: Sequence[Dataset],
        device: torch.device,
    ):
        self.plan, self.device, self.task = plans[0], device, parts[0].task
        self.augmentations = parts[0].augmentations
        models = [p.model for p in parts]
        self.dtype = dtype_of(models[0])
        self.datasets = list(data)

        def tuples(row: int, split: str) -> Tensor | None:
            return evaluation_tuples(self.task, data[row].part(split), split, parts[row].values["split"]["seed"])

        self.evaluates_train = parts[0].evaluates_train
        evaluations = {"train": self.plan.epochs, "val": self.plan.epochs, "test": 1}
        self._evaluations = {s: n for s, n in evaluations.items() if s != "train" or self.evaluates_train}  # by split
        self.data = StackedData(data, self.dtype, device, tuples, self.task.exact_targets, list(self._evaluations))
        self._realign: dict[tuple[str, int], bool] = {}  # (mode, batch size): whether products must be realigned
        padding = 1 if len(parts) == 1 else 0
        while True:
            self.stack = Stack(models, padding, device)
            self.data.assign_rows(self.stack.padding)
            self.seeds = torch.tensor([p.seed for p in self.with_padding(plans)], device=device)
            self.regularizers = [
                StackedRegularizer([p.regularizers[i] for p in parts], padding, self.dtype, device)
                for i in range(len(parts[0].regularizers))
            ]
            required = self._probe_padding()
            if required <= padding:
                break
            padding = required
        self.groups = [
            StackedGroup(name, names, self.stack, parts, plans, self._with_hook("after_step"))
            for name, names in self.task.groups(models[0]).items()
        ]
        code, refusal = [self.stack.base, *step_code(parts)], refuse_recording(parts[0].values, device)
        worth = least_calls(parts[0].values, WORTH)
        self._recorded, self._recorded_evaluation = (RecordedFunctions(code, refusal, worth) for _ in range(2))
        self._has_hooks = has_own_hooks(parts[0].regularizers)
        self._batches = Counter((self.plan.size(batch), self.plan.share(batch)) for batch in range(self.plan.batches))
        self.metrics = {
            split: {
                name: StackedMetric(make, self.stack.rows, device, refusal or TOO_FEW * (calls < worth))
                for name, make in parts[0].metrics.items()
            }
            for split, calls in self._evaluations.items()
        }
        self.plans = list(plans)
        self._loaded: set[int] = set()  # rows whose weights are final
        self.diagnostic_runner: DiagnosticRunner | None = None

    def with_padding(self, values: Sequence[Any]) -> list[Any]:
        """Return one value for each row, given one for each run: padding rows have that of the first run."""
        return [*values, *[values[0]] * self.stack.padding]

    @property
    def plain_because(self) -> str:
        """The reason why no step was replayed from a recording; empty if one was."""
        return self._recorded.plain_because

    def _with_hook(self, hook: str) -> list[StackedRegularizer]:
        return [r for r in self.regularizers if hook in r.hooks]

    @property
    def size(self) -> int:
        """The number of runs that still train."""
        return self.stack.size

    @property
    def failures(self) -> dict[int, Failure]:
        """The exceptions of optimizers by row. These rows are stepped no more and should be dropped."""
        return {row: failure for group in self.groups for row, failure in group.failures.items()}

    def _probe_padding(self) -> int:
        """Compute a batch of each size without stepping; return the padding rows that the kernels need."""
        buffers = {name: t.clone() for name, t in self.stack.buffers.items()}
        self.stack.base.train()
        padding = 0
        for batch in sorted({0, self.plan.batches - 1}):
            count = self.plan.size(batch)
            samples = torch.arange(count * self.plan.each, device=self.device) % self.data.samples("train")
            index = samples.expand(self.stack.rows, len(samples))
            with BitwiseProducts(self.stack.rows) as products:
                x, y = self.data.gather(index)
                losses = self._losses(x, y, keys(self.seeds, batch))
                for loss in losses.values():
                    leaves = [p for p in self.stack.params.values() if p.requires_grad]
                    torch.autograd.grad(loss.sum(), leaves, allow_unused=True, retain_graph=True)
            self._realign["train", count] = products.realigned
            padding = max(padding, products.padding)
        self.stack.base.eval()
        params = {name: p.detach() for name, p in self.stack.params.items()}
        for split in self._evaluations:
            for first, count in self._evaluation_batches(split):
                if ("evaluation", count) not in self._realign:
                    with torch.no_grad(), BitwiseProducts(self.stack.rows) as products:
                        self._evaluate_batch(split, first, count, params, keys(self.seeds, EVALUATION + first))
                    self._realign["evaluation", count] = products.realigned
                    padding = max(padding, products.padding)
        for name, t in buffers.items():
            self.stack.buffers[name].copy_(t)
        return padding

    def start_epoch(self, epoch: int) -> None:
        """Draw the orders of the epoch and set modules and optimizers to training."""
        self.epoch = epoch
        orders: dict[tuple[int, int], Tensor] = {}
        order_keys = [(plan.seed, id(dataset)) for plan, dataset in zip(self.plans, self.datasets, strict=True)]
        for key, plan, dataset in zip(order_keys, self.plans, self.datasets, strict=True):
            if key not in orders:
                orders[key] = epoch_order(self.task, dataset.train, plan, epoch)
        self._order = torch.stack([orders[key] for key in self.with_padding(order_keys)]).to(self.device)
        self._set_mode(True)
        self._recorded.check()

    def train(self, batches: range) -> Tensor:
        """Train on batches of this epoch; return their losses `[batches, K]`."""
        first = self.epoch * self.plan.batches
        numbers = torch.arange(first + batches.start, first + batches.stop, device=self.device)
        batch_keys = keys(self.seeds, numbers[:, None])  # [batches, rows]
        with one_thread():
            losses = [self._train_batch(batch, key) for batch, key in zip(batches, batch_keys.unbind(), strict=True)]
        return torch.stack(losses)[:, : self.size]

    def _train_batch(self, batch: int, key: Tensor) -> Tensor:
        self._step_number = step = self.plan.step_of(self.epoch * self.plan.batches + batch)
        count, share = self.plan.size(batch), self.plan.share(batch)
        first = batch * self.plan.samples
        order = self._order[:, first : first + count * self.plan.each]
        recorded = self._recorded.of(count, share, calls=self.plan.epochs * self._batches[count, share])
        runner = self.diagnostic_runner
        measured = runner is not None and step >= runner.next
        fixed = recorded.program is not None and not measured and self.plan.accumulate == 1
        compute = functools.partial(self._compute_batch, count, share)
        loss, grads = compute(order, key) if measured else recorded(compute, order, key)
        if self.plan.accumulate > 1:
            for group in self.groups:
                group.gradients.add(grads[group.name])
            if self.plan.ends_step(batch):
                grads = {g.name: self._regularized(g, g.gradients.take(g.names), key) for g in self.groups}
        if self.plan.ends_step(batch):
            self._step(step, grads, measured, fixed)
        return loss.clone()

    def _compute_batch(
        self, count: int, share: float, index: Tensor, key: Tensor
    ) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Return the losses of a batch, `[rows]`, and the gradients of each group, changed by regularizers."""
        with BitwiseProducts(self.stack.rows) if self._realign["train", count] else nullcontext():
            losses = self._losses(*self.data.gather(index), key)
            grads = {
                group.name: self._differentiate(group, losses[group.name], share, last=group is self.groups[-1])
                for group in self.groups
            }
        if self.plan.accumulate == 1:
            grads = {group.name: self._regularized(group, grads[group.name], key) for group in self.groups}
        first_loss, *more = (loss.detach() for loss in losses.values())
        return sum(more, first_loss), grads

    def _losses(self, x: Tensor, y: Tensor, key: Tensor) -> dict[str, Tensor]:
        """Return the loss of each parameter group, `{group: [rows]}`."""
        target_hooks = self._with_hook("target")

        def losses_of_run(call: Call, noise: Noise, x: Tensor, y: Tensor, lifted: list[Lifted]) -> dict[str, Tensor]:
            for augment in self.augmentations:
                x, y = augment(x, y, noise)
            for regularizer, values in zip(target_hooks, lifted, strict=True):
                y = with_attributes(regularizer.members[0], values).target(y)
            with Redirect(noise, STACKED, stack=True):
                return self.task.losses(call, (x, y), noise)

        lifted = [regularizer.lifted for regularizer in target_hooks]
        losses: dict[str, Tensor] = self.stack.map(losses_of_run, key, x, y, lifted)
        return losses

    def _differentiate(self, group: StackedGroup, losses: Tensor, share: float, last: bool) -> dict[str, Tensor]:
        """Return the gradients of a batch by name; rows are independent, so the sum of losses will do."""
        for regularizer in self._with_hook("penalty"):
            losses = losses + regularizer.call("penalty", group.params)
        total = losses.sum()
        if share != 1.0:
            total = total * share
        params = list(group.params.values())
        grads = torch.autograd.grad(total, params, allow_unused=True, retain_graph=not last)
        return {name: g for name, g in zip(group.params, grads, strict=True) if g is not None}

    def _regularized(self, group: StackedGroup, grads: dict[str, Tensor], key: Tensor) -> dict[str, Tensor]:
        """Return the gradients of a step as regularizers change them."""
        for regularizer in self._with_hook("gradient"):
            noise = DeferredArg(functools.partial(_gradient_noise, self._count_steps), key)
            params = {name: p.detach() for name, p in group.params.items()}
            grads = regularizer.call("gradient", grads, params, noise)
        return grads

    def _count_steps(self) -> int:
        self._recorded.refuse("a regularizer reads the number of the step")
        return self._step_number

    def _step(self, step: int, grads: dict[str, dict[str, Tensor]], measured: bool, fixed: bool) -> None:
        runner = self.diagnostic_runner if measured else None
        due = None if runner is None else runner.begin(step)
        lr = None if due is None else self._lrs()
        for group in self.groups:
            group.step(grads[group.name], fixed)
        if self._has_hooks:
            self._recorded.check()
        if runner is not None and due is not None and lr is not None:
            runner.end(due, {name: g for named in grads.values() for name, g in named.items()}, lr)

    def _lrs(self) -> Tensor:
        """Return the learning rate of each row, `[rows]`."""
        lrs = [self.lr(row) for row in range(self.size)]
        return torch.tensor(self.with_padding(lrs), dtype=self.dtype, device=self.device)

    def _set_mode(self, training: bool) -> None:
        self.stack.base.train(training)
        for group in self.groups:
            group.train(training)

    def evaluate(self, split: str) -> list[dict[str, float]]:
        """Return loss and metrics on a split for each run, as `{"val/loss": ...}`.

        Raises:
            RestackDifferently: If the steps since the last evaluation were not exact.
        """
        for group in self.groups:
            group.check()
        self._set_mode(False)
        metrics = self.metrics[split]
        total = torch.zeros(self.stack.rows, device=self.device, dtype=torch.float64)
        with torch.no_grad(), one_thread():
            params = self._evaluation_params()
            batches = list(self._evaluation_batches(split))
            recordable = split != "test" and len(batches) <= EVALUATION_BATCHES
            self._recorded_evaluation.check()
            others = list(params.values()) if self._with_hook("evaluate") else []  # not those of the stack
            for first, count in batches:
                compute = functools.partial(self._evaluate_aligned, split, first, count)
                key = keys(self.seeds, EVALUATION + first)
                recorded = self._recorded_evaluation.of(split, first, calls=self.plan.epochs)
                losses, outputs = recorded(compute, key, *others) if recordable else compute(key, *others)
                for loss in losses.values():
                    total += loss.double() * count
                for metric in metrics.values():
                    metric.update(*outputs)
        mean = (total / self.data.size(split)).tolist()
        values = {name: metric.compute() for name, metric in metrics.items()}
        return [
            {f"{split}/loss": mean[row]} | {f"{split}/{name}": value[row] for name, value in values.items()}
            for row in range(self.size)
        ]

    def _evaluation_batches(self, split: str) -> Iterator[tuple[int, int]]:
        """Yield (first, count) of the items that are evaluated at a time: a function of the data, not of the stack."""
        n = self.data.size(split)
        step = evaluation_batch_size(self.plan, self.data.parts[split][0][0], self.data.each(split))
        yield from ((first, min(step, n - first)) for first in range(0, n, step))

    def _evaluate_aligned(self, split: str, first: int, count: int, key: Tensor, *others: Tensor) -> Any:
        """Evaluate a batch with the parameters of the stack, or with others in their order."""
        params = dict(zip(self.stack.params, others, strict=True)) if others else self.stack.params
        with BitwiseProducts(self.stack.rows) if self._realign["evaluation", count] else nullcontext():
            return self._evaluate_batch(split, first, count, params, key)

    def _evaluate_batch(self, split: str, first: int, count: int, params: dict[str, Tensor], key: Tensor) -> Any:
        def evaluate_run(call: Call, noise: Noise, x: Tensor, y: Tensor) -> Any:
            with Redirect(noise, STACKED, stack=True):
                return self.task.evaluate(call, (x, y), noise)

        x, y = self.data.slice(split, first, count)
        return self.stack.map(evaluate_run, key, x, y, params=params)

    def _evaluation_params(self) -> dict[str, Tensor]:
        """Return the parameters that regularizers evaluate, such as averages, `[rows, ...]`."""
        params: dict[str, Tensor] = {name: p.detach() for name, p in self.stack.params.items()}
        if evaluating := self._with_hook("evaluate"):
            last = params
            for group in self.groups:
                params = params | group.averaged(params, evaluating)
            for row in self._loaded:
                params = {
                    name: t.index_copy(0, torch.tensor([row], device=t.device), last[name][row : row + 1])
                    for name, t in params.items()
                }
        return params

    def weights(self, row: int) -> dict[str, Tensor]:
        """Return a copy of the weights of a run that evaluation uses."""
        self._set_mode(False)
        with torch.no_grad():
            return self.stack.state_dict(row, self._evaluation_params())

    def load(self, row: int, weights: dict[str, Tensor]) -> None:
        """Load weights from `weights()`; evaluation uses them as they are and averages nothing again."""
        self._copy_weights(row, weights)
        self._loaded.add(row)

    def _copy_weights(self, row: int, weights: dict[str, Tensor]) -> None:
        tensors = self.stack.params | self.stack.buffers
        with torch.no_grad():
            for name, source in self.stack.state_dict_names.items():
                tensors[source][row] = weights[name]

    def end_epoch(self, metrics: list[dict[str, float]]) -> None:
        """Do nothing: runs whose scheduler follows their own metrics are not stacked."""

    def lr(self, row: int) -> float:
        """Return the learning rate of a run's next step."""
        return self.groups[0].lr(row)

    def state(self, row: int) -> dict[str, Any]:
        """Return a run's state for a checkpoint, with the parameters as they are trained; any stack can restore it."""
        return {"model": self.stack.state_dict(row), "groups": [group.state(row) for group in self.groups]}

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Continue from the states of all runs."""
        for row, state in enumerate(states):
            self._copy_weights(row, state["model"])
        for place, group in enumerate(self.groups):
            group.restore(self.stack, [state["groups"][place] for state in states])
        self._recorded.reset()
        self._recorded_evaluation.reset()

    def keep(self, rows: Sequence[int]) -> None:
        """Continue with these runs only; they compute the same bits as if they had been stacked alone."""
        index = [*rows, *range(self.stack.size, self.stack.rows)]
        if len(index) < 2:  # a single row has other bits: keep a dropped row as padding
            index.append(next(row for row in range(self.stack.size) if row not in rows))
        self.stack.keep(index, len(rows))
        self.data.keep(index)
        self.seeds = self.seeds[index]
        self._order = self._order[index]
        self.plans = [self.plans[row] for row in rows]
        self.datasets = [self.datasets[row] for row in rows]
        self._loaded = set()  # the rows with loaded weights have been dropped
        self._recorded.reset()
        self._recorded_evaluation.reset()
        for regularizer in self.regularizers:
            regularizer.keep(index)
        for group in self.groups:
            group.keep(self.stack, rows, index)
        for split in self.metrics.values():
            for metric in split.values():
                metric.keep(len(index))
        if self.diagnostic_runner is not None:
            self.diagnostic_runner.keep(index)


def _gradient_noise(count_steps: Callable[[], int], key: Tensor) -> Noise:
    return Noise(key, place=GRADIENT_PLACE, count_steps=count_steps)
