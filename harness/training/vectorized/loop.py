"""K members as one program: a stack of their models, stepped and evaluated together. Same face as `Alone`."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from harness.datasets.dataset import Dataset
from harness.modeling.builder import RunComponents
from harness.modeling.calling import dtype_of
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Call
from harness.training.diagnostics.runner import DiagnosticRunner
from harness.training.plan import Plan
from harness.training.single import EVALUATION, GRADIENT_PLACE, evaluated_together
from harness.training.tuples import evaluated, order
from harness.training.vectorized.bitwise import BitwiseProducts
from harness.training.vectorized.data import StackedData
from harness.training.vectorized.lifting import Lifted, bound
from harness.training.vectorized.metric import StackedMetric
from harness.training.vectorized.ops import STACKED
from harness.training.vectorized.param_group import Failure, StackedGroup
from harness.training.vectorized.regularizer import DeferredArg, StackedRegularizer
from harness.training.vectorized.stack import Stack


class StackedPath:
    """A cohort of K members, in the order in which they were given. Raises Unlike if they are not of one shape.

    `plans` differ in nothing but the seed; `data` is in memory, and of one shape in all.
    """

    def __init__(
        self, parts: Sequence[RunComponents], plans: Sequence[Plan], data: Sequence[Dataset], device: torch.device
    ):
        self.plan, self.device, self.task = plans[0], device, parts[0].task
        self.augmentations = parts[0].augmentations
        models = [p.model for p in parts]
        self.dtype = dtype_of(models[0])
        self.sets = list(data)

        def drawn(member: int, split: str) -> Tensor | None:
            return evaluated(self.task, data[member].part(split), split, parts[member].values["split"]["seed"])

        self.data = StackedData(data, self.dtype, device, drawn, self.task.exact_targets)
        self._exact: dict[tuple[str, int], bool] = {}  # whether products of batches of a size must be laid on lines
        spare = 1 if len(parts) == 1 else 0
        while True:
            self.stack = Stack(models, spare, device)
            self.data.point(self.stack.spare)
            self.seeds = torch.tensor([p.seed for p in self.filled(plans)], device=device)
            self.regularizers = [
                StackedRegularizer([p.regularizers[i] for p in parts], spare, self.dtype, device)
                for i in range(len(parts[0].regularizers))
            ]
            wants = self._rehearse(plans)
            if wants <= spare:
                break
            spare = wants
        self.groups = [
            StackedGroup(name, names, self.stack, parts, plans, self._having("after_step"))
            for name, names in self.task.groups(models[0]).items()
        ]
        self.metrics = {
            split: {name: StackedMetric(make, self.stack.rows, device) for name, make in parts[0].metrics.items()}
            for split in ("val", "test")
        }
        self.plans = list(plans)
        self._loaded: set[int] = set()  # rows whose weights are final
        self.looking: DiagnosticRunner | None = None  # the diagnostics, where there are any

    def filled(self, members: Sequence[Any]) -> list[Any]:
        """One entry a row: the spare rows are the first member's."""
        return [*members, *[members[0]] * self.stack.spare]

    def _having(self, hook: str) -> list[StackedRegularizer]:
        return [r for r in self.regularizers if hook in r.hooks]

    @property
    def size(self) -> int:
        """Members that still train."""
        return self.stack.size

    @property
    def failures(self) -> dict[int, Failure]:
        """What the optimizers of some rows have raised: these rows are stepped no more, and should leave."""
        return {row: failure for group in self.groups for row, failure in group.failures.items()}

    def _rehearse(self, plans: Sequence[Plan]) -> int:
        """A step of each size of batch, whose gradients are let go; returns the spare rows that they ask for."""
        kept = {name: t.clone() for name, t in self.stack.buffers.items()}
        self.stack.base.train()
        rows = 0
        for batch in sorted({0, self.plan.batches - 1}):
            count = self.plan.size(batch)
            samples = torch.arange(count * self.plan.each, device=self.device) % self.data.samples("train")
            index = samples.expand(self.stack.rows, len(samples))
            with BitwiseProducts(self.stack.rows) as exact:
                x, y = self.data.gather(index)
                losses = self._losses(x, y, batch)
                for loss in losses.values():
                    leaves = [p for p in self.stack.params.values() if p.requires_grad]
                    torch.autograd.grad(loss.sum(), leaves, allow_unused=True, retain_graph=True)
            self._exact["train", count] = exact.acted
            rows = max(rows, exact.rows)
        self.stack.base.eval()
        params = {name: p.detach() for name, p in self.stack.params.items()}
        for split in ("val", "test"):
            for first, count in self._evaluation(split):
                if ("evaluation", count) not in self._exact:
                    with torch.no_grad(), BitwiseProducts(self.stack.rows) as exact:
                        self._measured(split, first, count, params)
                    self._exact["evaluation", count] = exact.acted
                    rows = max(rows, exact.rows)
        for name, t in kept.items():
            self.stack.buffers[name].copy_(t)
        return rows

    def start_epoch(self, epoch: int) -> None:
        """Draws the epoch's orders and sets modules and optimizers to training."""
        self.epoch = epoch
        orders: dict[tuple[int, int], Tensor] = {}
        members = [(plan.seed, id(dataset)) for plan, dataset in zip(self.plans, self.sets, strict=True)]
        for key, plan, dataset in zip(members, self.plans, self.sets, strict=True):
            if key not in orders:
                orders[key] = order(self.task, dataset.train, plan, epoch)
        self._order = torch.stack([orders[key] for key in self.filled(members)]).to(self.device)
        self._train_mode(True)

    def train(self, batches: range) -> Tensor:
        """Trains on batches of this epoch; returns their losses [batches, K]."""
        return torch.stack([self._batch(batch) for batch in batches])[:, : self.size]

    def _batch(self, batch: int) -> Tensor:
        number = self.epoch * self.plan.batches + batch
        count = self.plan.size(batch)
        first, last = batch * self.plan.samples, batch * self.plan.samples + count * self.plan.each
        with BitwiseProducts(self.stack.rows) if self._exact["train", count] else nullcontext():
            x, y = self.data.gather(self._order[:, first:last])
            losses = self._losses(x, y, number)
            share = self.plan.share(batch)
            for group in self.groups:
                self._differentiate(group, losses[group.name], share, last=group is self.groups[-1])
        if self.plan.ends_step(batch):
            self._step(number)
        first_loss, *more = (loss.detach() for loss in losses.values())
        return sum(more, first_loss)

    def _losses(self, x: Tensor, y: Tensor, number: int) -> dict[str, Tensor]:
        """{group: [rows]}"""
        targets = self._having("target")

        def one(call: Call, noise: Noise, x: Tensor, y: Tensor, lifted: list[Lifted]) -> dict[str, Tensor]:
            for augment in self.augmentations:
                x, y = augment(x, y, noise)
            for regularizer, values in zip(targets, lifted, strict=True):
                y = bound(regularizer.members[0], values).target(y)
            with Redirect(noise, STACKED, stack=True):
                return self.task.losses(call, (x, y), noise)

        lifted = [regularizer.lifted for regularizer in targets]
        found: dict[str, Tensor] = self.stack.map(one, keys(self.seeds, number), x, y, lifted)
        return found

    def _differentiate(self, group: StackedGroup, losses: Tensor, share: float, last: bool) -> None:
        for regularizer in self._having("penalty"):
            losses = losses + regularizer.call("penalty", group.params)
        total = losses.sum()
        if share != 1.0:
            total = total * share
        group.add(torch.autograd.grad(total, list(group.params.values()), allow_unused=True, retain_graph=not last))

    def _step(self, number: int) -> None:
        looking, step = self.looking, self.plan.step_of(number)
        watched = looking.begin(step) if looking is not None and step >= looking.next else None
        lr = self._rates() if watched is not None else None
        seen: dict[str, Tensor] = {}
        for group in self.groups:
            grads = group.take()
            for regularizer in self._having("gradient"):
                made = functools.partial(_gradient_noise, self.plan.step_of(number))
                noise = DeferredArg(made, keys(self.seeds, number))
                params = {name: p.detach() for name, p in group.params.items()}
                grads = regularizer.call("gradient", grads, params, noise)
            group.step(grads)
            seen |= grads
        if looking is not None and watched is not None and lr is not None:
            looking.end(watched, seen, lr)

    def _rates(self) -> Tensor:
        """The rows' learning rates [rows]."""
        rates = [self.lr(row) for row in range(self.size)]
        return torch.tensor(self.filled(rates), dtype=self.dtype, device=self.device)

    def _train_mode(self, on: bool) -> None:
        self.stack.base.train(on)
        for group in self.groups:
            group.train(on)

    def evaluate(self, split: str, rows: Sequence[int] | None = None) -> list[dict[str, float]]:
        """Loss and metrics on a split, for each member. Raises Again where their training was not exact."""
        for group in self.groups:
            group.check()
        self._train_mode(False)
        metrics = self.metrics[split]
        total = torch.zeros(self.stack.rows, device=self.device, dtype=torch.float64)
        with torch.no_grad():
            params = self._averaged()
            for first, count in self._evaluation(split):
                with BitwiseProducts(self.stack.rows) if self._exact["evaluation", count] else nullcontext():
                    losses, found = self._measured(split, first, count, params)
                total += sum(losses.values()) * count
                for metric in metrics.values():
                    metric.update(*found)
        mean = (total / self.data.size(split)).tolist()
        values = {name: metric.compute() for name, metric in metrics.items()}
        return [
            {f"{split}/loss": mean[row]} | {f"{split}/{name}": value[row] for name, value in values.items()}
            for row in range(self.size)
        ]

    def _evaluation(self, split: str) -> Iterator[tuple[int, int]]:
        """(first, count) of the samples or tuples that are evaluated at a time; never a function of the members."""
        n = self.data.size(split)
        step = evaluated_together(self.plan, self.data.parts[split][0][0], self.data.each(split))
        yield from ((first, min(step, n - first)) for first in range(0, n, step))

    def _measured(self, split: str, first: int, count: int, params: dict[str, Tensor]) -> Any:
        def one(call: Call, noise: Noise, x: Tensor, y: Tensor) -> Any:
            with Redirect(noise, STACKED, stack=True):
                return self.task.evaluate(call, (x, y), noise)

        x, y = self.data.slice(split, first, count)
        return self.stack.map(one, keys(self.seeds, EVALUATION + first), x, y, params=params)

    def _averaged(self) -> dict[str, Tensor]:
        """The parameters that regularizers want evaluated."""
        params: dict[str, Tensor] = {name: p.detach() for name, p in self.stack.params.items()}
        if evaluating := self._having("evaluate"):
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
        """A copy of the weights of a member that evaluation uses."""
        self._train_mode(False)
        with torch.no_grad():
            return self.stack.member(row, self._averaged())

    def load(self, row: int, weights: dict[str, Tensor]) -> None:
        """Puts weights in a member's place that evaluation has used: they are not averaged again."""
        self._put(row, weights)
        self._loaded.add(row)

    def _put(self, row: int, weights: dict[str, Tensor]) -> None:
        own = self.stack.params | self.stack.buffers
        with torch.no_grad():
            for name, source in self.stack.names.items():
                own[source][row] = weights[name]

    def end_epoch(self, found: list[dict[str, float]]) -> None:
        """Nothing: what follows a member's own metrics is not stacked."""

    def lr(self, row: int) -> float:
        """The learning rate of a member's next step."""
        return self.groups[0].lr(row)

    def state(self, row: int) -> dict[str, Any]:
        """All that a member needs to go on in any stack, as it is now and not as evaluation sees it."""
        return {"model": self.stack.member(row), "groups": [group.state(row) for group in self.groups]}

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Goes on from the states of all members."""
        for row, state in enumerate(states):
            self._put(row, state["model"])
        for place, group in enumerate(self.groups):
            group.restore(self.stack, [state["groups"][place] for state in states])

    def keep(self, members: Sequence[int]) -> None:
        """Goes on without the other members; the rest computes the same bits as if they had never met."""
        index = [*members, *range(self.stack.size, self.stack.rows)]
        if len(index) < 2:  # one row alone would be computed another way: one that left stays, for no one
            index.append(next(row for row in range(self.stack.size) if row not in members))
        self.stack.keep(index, len(members))
        self.data.keep(index)
        self.seeds = self.seeds[index]
        self._order = self._order[index]
        self.plans = [self.plans[m] for m in members]
        self.sets = [self.sets[m] for m in members]
        self._loaded = set()  # they have left
        for regularizer in self.regularizers:
            regularizer.keep(index)
        for group in self.groups:
            group.keep(self.stack, members, index)
        for split in self.metrics.values():
            for metric in split.values():
                metric.keep(len(index))
        if self.looking is not None:
            self.looking.keep(index)


def _gradient_noise(step: int, key: Tensor) -> Noise:
    noise = Noise(key)
    noise.place, noise.step = GRADIENT_PLACE, step
    return noise
