"""The parameters of one run that one loss trains, with their optimizer and schedule."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from harness.config.seeds import generator
from harness.modeling.builder import RunComponents
from harness.modeling.regularizer import having
from harness.training.gradients import Gradients
from harness.training.plan import Plan
from harness.training.schedule import Schedule


class Group:
    """The parameters that one loss trains, with their optimizer and schedule."""

    def __init__(self, name: str, params: dict[str, nn.Parameter], parts: RunComponents, plan: Plan) -> None:
        self.name, self.params = name, params
        self.leaves = list(params.values())
        self.layout = [(name, p, p.stride()) for name, p in params.items()]
        self.optimizer = parts.optimizer(
            params=self.leaves,
            named_params=list(params.items()),
            total_steps=plan.total_steps,
            generator=generator(plan.seed, "optimizer", name),
        )
        self.schedule = Schedule(self.optimizer, parts.scheduler, plan.total_steps, plan.warmup_steps)
        self.after = [(r, r.init(dict(params))) for r in having(parts.regularizers, "after_step")]
        self.gradients = Gradients()

    def differentiate(self, loss: Tensor, last: bool) -> None:
        """Adds a loss's gradients to those of the step; the graph goes where it is the `last` one on it."""
        self.gradients.add(torch.autograd.grad(loss, self.leaves, allow_unused=True, retain_graph=not last))

    def point(self, grads: dict[str, Tensor]) -> None:
        """Puts gradients where the optimizer looks for them."""
        for name, p, stride in self.layout:
            g = grads.get(name)
            # a fused optimizer reads memory, not strides
            p.grad = g if g is None or g.stride() == stride else torch.empty_like(p).copy_(g)

    def step(self, closure: Callable[[], Tensor] | None = None) -> None:
        """One optimizer step."""
        step = self.optimizer.step if closure is None else functools.partial(self.optimizer.step, closure)
        if not self.after:
            step()
        else:
            before = {n: p.detach().clone() for n, p in self.params.items()}
            lr = self.schedule.lr
            step()
            with torch.no_grad():
                for regularizer, state in self.after:
                    regularizer.after_step(dict(self.params), before, lr, state)
        for leaf in self.leaves:
            leaf.grad = None  # or it would be there beside those of the next step
        self.schedule.step()
