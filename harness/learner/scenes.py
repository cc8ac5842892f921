"""What the two paths show of themselves to diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.func import functional_call

from harness.dataset import size
from harness.learner.stack import Bound
from harness.learner.stacked_functions import STACKED
from harness.learner.tuples import evaluated
from harness.noise import Noise, keys
from harness.redirect import Redirect
from harness.tasks import Call

if TYPE_CHECKING:
    from harness.learner.alone import Alone
    from harness.learner.fused import Fused

Named = dict[str, Tensor]


def bind(base: Bound, params: Named, buffers: Named) -> Call:
    """The model with these parameters and buffers."""
    bound = {f"model.{name}": t for name, t in (params | buffers).items()}

    def call(*x: Any, method: str = "forward") -> Any:
        return functional_call(base, bound, (method, *x))

    return call


class AloneScene:
    """Of one member: tensors as they are."""

    def __init__(self, path: Alone) -> None:
        self.path, self.task, self.model = path, path.parts.task, path.model
        self.base = Bound(path.model)

    def params(self) -> Named:
        return dict(self.model.named_parameters())

    def buffers(self) -> Named:
        return dict(self.model.named_buffers())

    def bind(self, params: Named, buffers: Named) -> Call:
        return bind(self.base, params, buffers)

    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """The first samples of a split, which chance has chosen, or the first tuples of them."""
        path, part = self.path, self.path.data[split]
        whole = path.train_part if split == "train" else part
        drawn = evaluated(self.task, whole, split, 0)
        if drawn is not None:
            return path.slice(part, 0, max(1, count // drawn.shape[1]), drawn)
        return path.slice(part, 0, min(count, size(part)), None)

    def key(self, number: int) -> Tensor:
        return self.path.key(number)()

    def redirected(self, noise: Noise) -> AbstractContextManager[Any]:
        return self.path.redirected(noise)

    def map(self, one: Callable[..., Any], given: Any) -> Any:
        return one(given)


class FusedScene:
    """Of a stack: tensors have a first dimension for its rows, and functions are called under vmap."""

    def __init__(self, path: Fused) -> None:
        self.path, self.task = path, path.task
        self.model = path.stack.base.model

    def params(self) -> Named:
        return self.path.stack.params

    def buffers(self) -> Named:
        return self.path.stack.buffers

    def bind(self, params: Named, buffers: Named) -> Call:
        return bind(self.path.stack.base, params, buffers)

    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """The first samples, or tuples, of a split of each row's own data."""
        data = self.path.data
        if split != "train":
            return data.slice(split, 0, min(max(1, count // data.each(split)), data.size(split)))
        of: dict[int, Tensor] = {}
        for dataset in self.path.sets:
            drawn = evaluated(self.task, dataset.train, split, 0)
            first = torch.arange(min(count, data.samples(split)))
            of[id(dataset)] = first if drawn is None else drawn[: max(1, count // drawn.shape[1])].flatten()
        index = [of[id(dataset)] for dataset in self.path.filled(self.path.sets)]
        return data.gather(torch.stack(index).to(self.path.device))

    def key(self, number: int) -> Tensor:
        return keys(self.path.seeds, number)

    def redirected(self, noise: Noise) -> AbstractContextManager[Any]:
        return Redirect(noise, STACKED)

    def map(self, one: Callable[..., Any], given: Any) -> Any:
        return self.path.stack.map(lambda call, noise, given: one(given), self.key(0), given)
