"""One member, as the plain module: its steps and its evaluation. The learner sees it as a cohort of one."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness._compat.torch import pytree
from harness.datasets.dataset import Part, Samples, size
from harness.modeling.builder import RunComponents
from harness.modeling.calling import call_method, cast, dtype_of
from harness.modeling.regularizer import having
from harness.modeling.rng.noise import GlobalBatch, Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.training.batches import Transformed
from harness.training.diagnostics.runner import DiagnosticRunner
from harness.training.distributed import sum_
from harness.training.param_group import Group
from harness.training.plan import Plan, rows
from harness.training.tuples import evaluated, order

GATHER_BYTES = 1 << 20  # of inputs, gathered at a time: as much as stays in a processor's cache
EVALUATION = 1 << 40  # the noise of evaluation never meets that of a step
GRADIENT_PLACE = 1 << 20  # where a step's gradients draw: never a place of its forward pass
EVALUATED = 1 << 18  # numbers in the inputs that are evaluated together, at most


@dataclass(frozen=True)
class _StepBatch:
    """A batch of a step, after augmentation, and the noise that its forward pass draws."""

    number: int
    x: Tensor
    y: Tensor
    rows: GlobalBatch | None
    place: int
    share: float


class SinglePath:
    """A cohort of one."""

    def __init__(
        self, parts: RunComponents, plan: Plan, data: dict[str, Part], device: torch.device, world: tuple[int, int]
    ):
        self.parts, self.plan, self.device = parts, plan, device
        self.rank, self.world = world
        self.model = parts.model
        self.dtype = dtype_of(self.model)
        self.data = {split: self._placed(part) for split, part in data.items()}
        self.train_part = data["train"]  # where it was: tuples are drawn on the CPU
        seed = parts.values["split"]["seed"]
        self.tuples = {split: evaluated(parts.task, data[split], split, seed) for split in ("val", "test")}
        named = dict(self.model.named_parameters())
        self.groups = [
            Group(group, {name: named[name] for name in names}, parts, plan)
            for group, names in parts.task.groups(self.model).items()
            if names
        ]
        self.penalties = having(parts.regularizers, "penalty")
        self.targets = having(parts.regularizers, "target")
        self.gradients = having(parts.regularizers, "gradient")
        self.averages = having(parts.regularizers, "evaluate")
        self.metrics = {
            split: {name: make().to(device) for name, make in parts.metrics.items()} for split in ("val", "test")
        }
        self._order = torch.empty(0, dtype=torch.int64)
        self._seen: list[_StepBatch] = []  # the batches of a step, where the optimizer evaluates them again
        self.looking: DiagnosticRunner | None = None  # the diagnostics, where there are any
        self._watched = False  # by them, at this step
        self._grads: dict[str, Tensor] = {}  # of a step that is watched: an optimizer lets go of them

    def _placed(self, part: Part) -> Part:
        """In-memory samples on the device, if they leave half of its memory free; else they go batch by batch."""
        if not isinstance(part, Samples):
            return part
        x, y = self._cast(part.x), self._target(part.y)
        if self.device.type == "cuda" and x.nbytes + y.nbytes > torch.cuda.mem_get_info(self.device)[0] / 2:
            return Samples(x, y)
        return Samples(x.to(self.device), y.to(self.device))

    def _cast(self, tensor: Tensor) -> Tensor:
        return cast(tensor, self.dtype)

    def _target(self, y: Tensor) -> Tensor:
        return y if self.parts.task.exact_targets else self._cast(y)

    def start_epoch(self, epoch: int) -> None:
        """Draws the epoch's order and sets modules and optimizers to training."""
        self.epoch = epoch
        drawn = order(self.parts.task, self.train_part, self.plan, epoch)
        self._order = drawn.to(self.device, non_blocking=True)
        self._train_mode(True)

    def train(self, batches: range) -> Tensor:
        """Trains on in-memory batches of this epoch; returns their losses [batches, 1] on the global batch."""
        losses = [self._batch(batch, x, y, whole=True) for batch, x, y in self._gathered(batches)]
        return self._global(torch.stack(losses))

    def _gathered(self, batches: range) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Each batch's samples: those of small batches are gathered together, one call for many."""
        part, size = self.data["train"], self.plan.samples
        assert isinstance(part, Samples)
        together = max(1, GATHER_BYTES // max(1, part.x[:1].nbytes * size))
        for first in range(batches.start, batches.stop, together):
            last = min(first + together, batches.stop)
            index = self._order[first * size : last * size].to(part.x.device)
            x, y = (t.index_select(0, index).to(self.device) for t in (part.x, part.y))
            yield from zip(range(first, last), x.split(size), y.split(size), strict=True)

    def train_on(self, batch: int, x: Tensor, y: Tensor) -> Tensor:
        """Trains on this process's samples of a batch that a loader made; returns the loss [1, 1]."""
        loss = self._batch(batch, self._cast(x).to(self.device), self._target(y).to(self.device), whole=False)
        return self._global(loss[None])

    def _global(self, losses: Tensor) -> Tensor:
        if self.world > 1:
            sum_([losses])
        return losses[:, None]

    def _batch(self, batch: int, x: Tensor, y: Tensor, whole: bool) -> Tensor:
        number = self.epoch * self.plan.batches + batch
        mine = rows(self.plan.size(batch), self.rank, self.world)
        noise = Noise(self.key(number), None if whole or self.world == 1 else mine)
        for augment in self.parts.augmentations:
            x, y = augment(x, y, noise)
        for regularizer in self.targets:
            y = regularizer.target(y)
        if whole and self.world > 1:
            own = slice(mine.start * self.plan.each, (mine.start + mine.count) * self.plan.each)
            x, y = x[own], y[own]
            noise.rows = mine
        share = self.plan.share(batch) * mine.count / mine.total
        if self.parts.closure:
            self._seen.append(_StepBatch(number, x, y, noise.rows, noise.place, share))
        with self.redirected(noise), torch.set_grad_enabled(self.parts.gradient):
            losses = self.parts.task.losses(self._call, (x, y), noise)
        for group in self.groups if not self.parts.closure else []:
            loss = self._penalised(group, losses[group.name], share)
            group.differentiate(loss, last=group is self.groups[-1])
        if self.plan.ends_step(batch):
            self._step(number)
        first, *more = (loss.detach() for loss in losses.values())
        total = sum(more, first)
        return total if mine.count == mine.total else total * (mine.count / mine.total)

    def _penalised(self, group: Group, loss: Tensor, share: float) -> Tensor:
        for regularizer in self.penalties:
            loss = loss + regularizer.penalty(dict(group.params))
        return loss if share == 1.0 else loss * share

    def _step(self, number: int) -> None:
        looking, step = self.looking, self.plan.step_of(number)
        watched = looking.begin(step) if looking is not None and step >= looking.next else None
        self._watched = watched is not None
        lr = self.lr()
        for group in self.groups:
            if self.parts.closure:
                group.step(functools.partial(self._again, group, number))
            else:
                group.point(self._summed(group, number))
                group.step()
        self._seen = []
        if looking is not None and watched is not None:
            looking.end(watched, self._grads, lr)
            self._grads = {}

    def _summed(self, group: Group, number: int) -> dict[str, Tensor]:
        """The step's gradients, over all processes, as regularizers want them."""
        grads = group.gradients.take(list(group.params))
        if self.world > 1:
            sum_(list(grads.values()))
        for regularizer in self.gradients:
            noise = Noise(self.key(number))
            noise.place, noise.step = GRADIENT_PLACE, self.plan.step_of(number)
            grads = regularizer.gradient(grads, dict(group.params), noise)
        if self._watched:
            self._grads |= grads
        return grads

    def _again(self, group: Group, number: int) -> Tensor:
        """A group's loss over the batches of this step, with the same noise each time; puts its gradients in place."""
        total = torch.zeros((), device=self.device)
        with torch.set_grad_enabled(self.parts.gradient):
            for seen in self._seen:
                noise = Noise(self.key(seen.number), seen.rows)
                noise.place = seen.place
                with self.redirected(noise):
                    losses = self.parts.task.losses(self._call, (seen.x, seen.y), noise)
                loss = self._penalised(group, losses[group.name], seen.share)
                if self.parts.gradient:
                    group.differentiate(loss, last=True)
                total = total + loss.detach()
        if self.parts.gradient:
            group.point(self._summed(group, number))
        if self.world > 1:
            sum_([total])
        return total

    def redirected(self, noise: Noise) -> AbstractContextManager[Any]:
        return Redirect(noise) if self.parts.probe.noisy else nullcontext()

    def key(self, number: int) -> Callable[[], Tensor]:
        return lambda: keys(torch.tensor(self.plan.seed, device=self.device), number)

    def _call(self, *x: Any, method: str = "forward") -> Any:
        return call_method(self.model, method, *x)

    def _train_mode(self, on: bool) -> None:
        self.model.train(on)
        for group in self.groups:
            switch = getattr(group.optimizer, "train" if on else "eval", None)
            if callable(switch):
                switch()

    def evaluate(self, split: str) -> list[dict[str, float]]:
        """Loss and metrics on a split, for each member, as {"val/loss": ...}; every process takes its share."""
        self._train_mode(False)
        part, metrics, drawn = self.data[split], self.metrics[split], self.tuples[split]
        total = torch.zeros((), device=self.device, dtype=torch.float64)
        n, each = (size(part), 1) if drawn is None else drawn.shape
        step = evaluated_together(self.plan, part.x if isinstance(part, Samples) else part[0][0][None], each)
        with torch.no_grad(), self._averaged():
            for first in range(0, n, step):
                count = min(step, n - first)
                mine = rows(count, self.rank, self.world)
                if not mine.count:
                    continue
                x, y = self.slice(part, first + mine.start, mine.count, drawn)
                noise = Noise(self.key(EVALUATION + first), mine if self.world > 1 else None)
                with self.redirected(noise):
                    losses, found = self.parts.task.evaluate(self._call, (x, y), noise)
                total += sum(losses.values()) * mine.count
                for metric in metrics.values():
                    metric.update(*found)
        if self.world > 1:
            sum_([total])
        values = {f"{split}/loss": float(total) / n}
        for name, metric in metrics.items():
            values[f"{split}/{name}"] = float(metric.compute())
            metric.reset()
        return [values]

    def slice(self, part: Part, first: int, count: int, drawn: Tensor | None) -> tuple[Tensor, Tensor]:
        if isinstance(part, Samples):
            if drawn is not None:
                index = drawn[first : first + count].flatten().to(part.x.device)
                return part.x[index].to(self.device), part.y[index].to(self.device)
            return tuple(t[first : first + count].to(self.device) for t in (part.x, part.y))  # type: ignore[return-value]
        assert isinstance(part, Transformed)
        places = range(first, first + count) if drawn is None else drawn[first : first + count].flatten().tolist()
        x, y = part.__getitems__(places)
        return self._cast(x).to(self.device), self._target(y).to(self.device)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The parameters that regularizers want evaluated, put in place and taken out again."""
        if not self.averages:
            yield
            return
        kept = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        for group in self.groups:
            params: dict[str, Tensor] = {n: p.detach() for n, p in group.params.items()}
            for regularizer, state in group.after:
                if regularizer in self.averages:
                    params = regularizer.evaluate(params, state)
            for name, p in group.params.items():
                p.copy_(params[name])
        try:
            yield
        finally:
            for name, p in self.model.named_parameters():
                p.copy_(kept[name])

    def weights(self, row: int = 0) -> dict[str, Tensor]:
        """A copy of the weights that evaluation uses."""
        self._train_mode(False)
        with torch.no_grad(), self._averaged():
            return {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def load(self, row: int, weights: dict[str, Tensor]) -> None:
        """Puts weights in place that evaluation has used: they are not averaged again."""
        self.model.load_state_dict(weights)
        self.averages = []

    def end_epoch(self, found: list[dict[str, float]]) -> None:
        """Tells the schedules what was measured."""
        for group in self.groups:
            group.schedule.end_epoch(found[0])

    def lr(self, row: int = 0) -> float:
        """The learning rate of the next step."""
        return self.groups[0].schedule.lr if self.groups else 0.0

    def state(self, row: int = 0) -> dict[str, Any]:
        """All that going on needs, as it is now and not as evaluation sees it."""
        return {
            "model": {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()},
            "groups": [
                {
                    "optimizer": copy.deepcopy(group.optimizer.state_dict()),
                    "schedule": group.schedule.state(),
                    "after": [state for _, state in group.after],
                }
                for group in self.groups
            ],
            "drawn": torch.get_rng_state(),
        }

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Goes on from a state."""
        (state,) = states
        self.model.load_state_dict(state["model"])
        for group, kept in zip(self.groups, state["groups"], strict=True):
            group.optimizer.load_state_dict(kept["optimizer"])
            group.schedule.restore(kept["schedule"])
            after = [pytree.tree_map_only(Tensor, lambda t: t.to(self.device), s) for s in kept["after"]]
            group.after = [(r, s) for (r, _), s in zip(group.after, after, strict=True)]
        torch.set_rng_state(state["drawn"].cpu())

    def keep(self, members: Sequence[int]) -> None:
        """The one member has left: nothing goes on."""


def evaluated_together(plan: Plan, x: Tensor, each: int = 1) -> int:
    """How many samples, or tuples of `each`, are evaluated at a time: a function of data and task alone, so that sums
    are always the same.
    """
    numbers = each * x.shape[1:].numel()
    return max(plan.batch_size, min(512, EVALUATED // max(1, numbers)))
