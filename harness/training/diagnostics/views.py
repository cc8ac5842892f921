"""What the two paths, and a model that is trained no more, show of themselves to diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from harness.datasets.dataset import Dataset, Samples, sampled, sampled_index, size
from harness.modeling.calling import cast, dtype_of
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Call, Task
from harness.training.tuples import evaluated
from harness.training.vectorized.ops import RECURRENT, STACKED
from harness.training.vectorized.stack import BoundMethods

if TYPE_CHECKING:
    from harness.training.single import SinglePath
    from harness.training.vectorized.loop import StackedPath

Named = dict[str, Tensor]


def bind(base: BoundMethods, params: Named, buffers: Named) -> Call:
    """The model with these parameters and buffers."""
    bound = {f"model.{name}": t for name, t in (params | buffers).items()}

    def call(*x: Any, method: str = "forward") -> Any:
        return functional_call(base, bound, (method, *x))

    return call


class ModuleView:
    """Of a model by itself, with the data of its run: tensors as they are."""

    def __init__(self, task: Task, model: nn.Module, dataset: Dataset, seed: int) -> None:
        self.task, self.model, self.dataset, self.seed = task, model, dataset, seed
        self.base = BoundMethods(model)

    def params(self) -> Named:
        return dict(self.model.named_parameters())

    def buffers(self) -> Named:
        return dict(self.model.named_buffers())

    def bind(self, params: Named, buffers: Named) -> Call:
        return bind(self.base, params, buffers)

    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """A random sample of a split, or the first tuples of its samples."""
        part = self.dataset.part(split)
        drawn = evaluated(self.task, part, split, 0)
        if drawn is None:
            x, y = sampled(self.dataset, count, split)
        else:
            assert isinstance(part, Samples)
            index = drawn[: max(1, count // drawn.shape[1])].flatten()
            x, y = part.x[index], part.y[index]
        dtype = dtype_of(self.model)
        return cast(x, dtype), cast(y, dtype)

    def key(self, number: int) -> Tensor:
        return keys(torch.tensor(self.seed), number)

    def redirected(self, noise: Noise) -> AbstractContextManager[Any]:
        return Redirect(noise)

    def differentiated(self, noise: Noise, together: bool) -> AbstractContextManager[Any]:
        return Redirect(noise, RECURRENT)

    def apart(self, row: int) -> AbstractContextManager[Any]:
        return nullcontext()

    def map(self, one: Callable[..., Any], given: Any) -> Any:
        return one(given)


class PathView(ModuleView):
    """Of one member that is being trained."""

    def __init__(self, path: SinglePath, dataset: Dataset) -> None:
        super().__init__(path.parts.task, path.model, dataset, path.plan.seed)
        self.path = path

    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """Of the splits as they lie on its device."""
        path, part = self.path, self.path.data[split]
        whole = path.train_part if split == "train" else part
        drawn = evaluated(self.task, whole, split, 0)
        if drawn is not None:
            return path.slice(part, 0, max(1, count // drawn.shape[1]), drawn)
        index = sampled_index(size(part), count)
        return path.slice(part, 0, len(index), index)

    def key(self, number: int) -> Tensor:
        return self.path.key(number)()

    def redirected(self, noise: Noise) -> AbstractContextManager[Any]:
        return self.path.redirected(noise)


class StackView:
    """Of a stack: tensors have a first dimension for its rows, and functions are called under vmap."""

    def __init__(self, path: StackedPath) -> None:
        self.path, self.task = path, path.task
        self.model = path.stack.base.model

    def params(self) -> Named:
        return self.path.stack.params

    def buffers(self) -> Named:
        return self.path.stack.buffers

    def bind(self, params: Named, buffers: Named) -> Call:
        return bind(self.path.stack.base, params, buffers)

    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """A random sample of a split of each row's own data, or the first tuples of its samples."""
        data = self.path.data
        index = sampled_index(data.samples(split), count)
        if split in data.tuples:
            return data.slice(split, 0, min(max(1, count // data.each(split)), data.size(split)))
        if split != "train":
            return data.take(split, index.to(self.path.device))
        of: dict[int, Tensor] = {}
        for dataset in self.path.sets:
            drawn = evaluated(self.task, dataset.train, split, 0)
            of[id(dataset)] = index if drawn is None else drawn[: max(1, count // drawn.shape[1])].flatten()
        rows = [of[id(dataset)] for dataset in self.path.filled(self.path.sets)]
        return data.gather(torch.stack(rows).to(self.path.device))

    def key(self, number: int) -> Tensor:
        return keys(self.path.seeds, number)

    def redirected(self, noise: Noise) -> AbstractContextManager[Any]:
        return Redirect(noise, STACKED, stack=True)

    def differentiated(self, noise: Noise, together: bool) -> AbstractContextManager[Any]:
        return Redirect(noise, RECURRENT, stack=together)

    def apart(self, row: int) -> AbstractContextManager[Any]:
        stack = self.path.stack
        return stack.rated({name: rate[row] for name, rate in stack.rates.items()})

    def map(self, one: Callable[..., Any], given: Any) -> Any:
        return self.path.stack.map(lambda call, noise, given: one(given), self.key(0), given)
