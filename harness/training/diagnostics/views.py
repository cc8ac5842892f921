"""Views of a single run, of a stack and of a trained model, for diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from harness.datasets.dataset import Dataset, Samples, size
from harness.datasets.sampling import sampled, sampled_index
from harness.modeling.calling import cast, dtype_of
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Call, Task
from harness.training.plan import evaluation_tuples
from harness.training.vectorized.ops import RECURRENT, STACKED
from harness.training.vectorized.stack import BoundMethods

if TYPE_CHECKING:
    from harness.training.single import SinglePath
    from harness.training.vectorized.loop import StackedPath

Named = dict[str, Tensor]


def bind(base: BoundMethods, params: Named, buffers: Named) -> Call:
    """Return the model with these parameters and buffers as a function."""
    tensors = {f"model.{name}": t for name, t in (params | buffers).items()}

    def call(*x: Any, method: str = "forward") -> Any:
        return functional_call(base, tensors, (method, *x))

    return call


class ModuleView:
    """View of a single model with the data of its run.

    Args:
        task: The task of the run.
        model: The model.
        dataset: The data of the run.
        seed: The seed of the noise.
    """

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
        """Return a random sample of a split, or the first tuples of its samples."""
        part = self.dataset.part(split)
        tuples = evaluation_tuples(self.task, part, split, 0)
        if tuples is None:
            x, y = sampled(self.dataset, count, split)
        else:
            assert isinstance(part, Samples)
            index = tuples[: max(1, count // tuples.shape[1])].flatten()
            x, y = part.x[index], part.y[index]
        dtype = dtype_of(self.model)
        return cast(x, dtype), cast(y, dtype)

    def key(self, number: int) -> Tensor:
        return keys(torch.tensor(self.seed), number)

    def redirect_noise(self, noise: Noise) -> AbstractContextManager[Any]:
        return Redirect(noise)

    def redirect_differentiable(self, noise: Noise, stacked: bool) -> AbstractContextManager[Any]:
        return Redirect(noise, RECURRENT)

    def select_row(self, row: int) -> AbstractContextManager[Any]:
        return nullcontext()

    def map(self, function: Callable[..., Any], inputs: Any) -> Any:
        return function(inputs)


class PathView(ModuleView):
    """View of a run that is trained by itself.

    Args:
        path: The path that trains the run.
        dataset: The data of the run.
    """

    def __init__(self, path: SinglePath, dataset: Dataset) -> None:
        super().__init__(path.parts.task, path.model, dataset, path.plan.seed)
        self.path = path

    def probe(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """Return the first samples, or those of the first tuples, from the device of the path."""
        path, part = self.path, self.path.data[split]
        source = path.train_part if split == "train" else part
        tuples = evaluation_tuples(self.task, source, split, 0)
        if tuples is not None:
            return path.slice(part, 0, max(1, count // tuples.shape[1]), tuples)
        index = sampled_index(size(part), count)
        return path.slice(part, 0, len(index), index)

    def key(self, number: int) -> Tensor:
        return self.path.key(number)()

    def redirect_noise(self, noise: Noise) -> AbstractContextManager[Any]:
        return self.path.redirect_noise(noise)


class StackView:
    """View of a stack, whose functions are called under vmap.

    Args:
        path: The path that trains the stack.
    """

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
        """Return a random sample of a split of each row's own data, or the first tuples of its samples."""
        data = self.path.data
        index = sampled_index(data.samples(split), count)
        if split in data.tuples:
            return data.slice(split, 0, min(max(1, count // data.each(split)), data.size(split)))
        if split != "train":
            return data.take(split, index.to(self.path.device))
        samples: dict[int, Tensor] = {}  # by the identity of the data set
        for dataset in self.path.datasets:
            tuples = evaluation_tuples(self.task, dataset.train, split, 0)
            samples[id(dataset)] = index if tuples is None else tuples[: max(1, count // tuples.shape[1])].flatten()
        rows = [samples[id(dataset)] for dataset in self.path.with_padding(self.path.datasets)]
        return data.gather(torch.stack(rows).to(self.path.device))

    def key(self, number: int) -> Tensor:
        return keys(self.path.seeds, number)

    def redirect_noise(self, noise: Noise) -> AbstractContextManager[Any]:
        return Redirect(noise, STACKED, stack=True)

    def redirect_differentiable(self, noise: Noise, stacked: bool) -> AbstractContextManager[Any]:
        return Redirect(noise, RECURRENT, stack=stacked)

    def select_row(self, row: int) -> AbstractContextManager[Any]:
        stack = self.path.stack
        return stack.dropout_rates({name: rate[row] for name, rate in stack.rates.items()})

    def map(self, function: Callable[..., Any], inputs: Any) -> Any:
        return self.path.stack.map(lambda call, noise, inputs: function(inputs), self.key(0), inputs)
