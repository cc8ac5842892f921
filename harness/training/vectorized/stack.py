"""A stack of K models of one shape: every parameter and buffer is a tensor `[rows, ...]`, used under vmap.

The last rows may be padding: copies of the first run that no optimizer steps. A stack has at least two rows, and as
many padding rows as element-wise kernels need, see `harness.training.vectorized.bitwise`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from harness.modeling.calling import call_method, dtype_of
from harness.modeling.rng.noise import Noise
from harness.training.vectorized.bitwise import VECTOR
from harness.training.vectorized.lifting import Lifted, lift_dropout_rates

Named = dict[str, Tensor]


class BoundMethods(nn.Module):
    """Call any method of a model: torch's `functional_call` calls `forward` only."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, *x: Any) -> Any:
        return call_method(self.model, method, *x)


class Weights:
    """The parameters of a stack.

    `params` `[rows, ...]` are views of `storage` `[rows, n]`, where n is rounded up to whole vectors, so that an
    optimizer's kernel over the storage never ends within a vector.

    Args:
        storage: The storage of each parameter by name.
        shapes: The shape of each parameter of a single model, and whether it requires a gradient.
    """

    def __init__(self, storage: Named, shapes: dict[str, tuple[tuple[int, ...], bool]]) -> None:
        self.storage, self.shapes = storage, shapes
        self.params = {
            name: t[:, : math.prod(shapes[name][0])].view(len(t), *shapes[name][0]).requires_grad_(shapes[name][1])
            for name, t in storage.items()
        }

    def select(self, index: list[int]) -> Weights:
        """Return a copy of some rows."""
        return Weights({name: t[index] for name, t in self.storage.items()}, self.shapes)

    def random_like(self, rows: int, draw: torch.Generator) -> Weights:
        """Return standard normal weights of the same shapes, drawn from the generator `draw`."""
        storage = {}
        for name, t in self.storage.items():
            storage[name] = torch.randn(rows, t.shape[1], generator=draw).to(t.device, t.dtype)
            storage[name][:, math.prod(self.shapes[name][0]) :] = 0
        return Weights(storage, self.shapes)

    def shrunk(self) -> Weights:
        """Return one row of zeros with the same names, each side shortened to at most 3."""
        shapes = {name: (tuple(min(n, 3) for n in shape), grad) for name, (shape, grad) in self.shapes.items()}
        return Weights({name: _pad_rows(t.new_zeros(1, *shapes[name][0])) for name, t in self.storage.items()}, shapes)


class Stack:
    """The models of K runs.

    Args:
        models: The model of each run.
        padding: The number of padding rows.
        device: The device of the stack.

    Raises:
        NotStackable: If the models differ in anything but weights and dropout rates.
    """

    def __init__(self, models: Sequence[nn.Module], padding: int, device: torch.device) -> None:
        self.size, self.padding = len(models), padding
        first = models[0]
        dtype = dtype_of(first)
        self.rates = {n: self._with_padding(t) for n, t in lift_dropout_rates(models, dtype, device).items()}
        self.base = BoundMethods(copy.deepcopy(first))
        named = dict(first.named_parameters())
        stacked = self._stacked([list(m.parameters()) for m in models], device)
        self.weights = Weights(
            {name: _pad_rows(t) for name, t in zip(named, stacked, strict=True)},
            {name: (tuple(p.shape), p.requires_grad) for name, p in named.items()},
        )
        buffer_names = [name for name, _ in first.named_buffers()]
        self.buffers = dict(zip(buffer_names, self._stacked([list(m.buffers()) for m in models], device), strict=True))

    @property
    def rows(self) -> int:
        """The number of rows: runs and padding."""
        return self.size + self.padding

    @property
    def params(self) -> Named:
        """The parameters by name, `[rows, ...]`."""
        return self.weights.params

    def _stacked(self, models: list[list[Tensor]], device: torch.device) -> Iterator[Tensor]:
        for tensors in zip(*models, strict=True):
            yield self._with_padding(torch.stack([t.detach().to(device) for t in tensors]))

    def _with_padding(self, tensor: Tensor) -> Tensor:
        """Append the padding rows."""
        return torch.cat([tensor, tensor[:1].expand(self.padding, *tensor.shape[1:])]) if self.padding else tensor

    def map(self, function: Callable[..., Any], key: Tensor, *args: Any, params: Named | None = None) -> Any:
        """Map a function over the rows.

        Args:
            function: Called with the model's `call`, the noise and the `args` of one row.
            key: The noise key of each row, `[rows]`.
            *args: Trees of tensors `[rows, ...]`.
            params: The parameters `[rows, ...]`; None for those of the stack.

        Returns:
            The results, stacked.
        """

        def map_row(params: Named, buffers: Named, rates: Lifted, key: Tensor, *args: Any) -> Any:
            tensors = {f"model.{name}": t for name, t in (params | buffers).items()}

            def call(*x: Any, method: str = "forward") -> Any:
                return functional_call(self.base, tensors, (method, *x))

            with self.dropout_rates(rates):
                return function(call, Noise(key), *args)

        return vmap(map_row, randomness="error")(params or self.params, self.buffers, self.rates, key, *args)

    @contextmanager
    def dropout_rates(self, rates: Lifted) -> Iterator[None]:
        """Context in which the dropouts of the model have these rates, by the names of the modules."""
        modules = {name: self.base.model.get_submodule(name) for name in rates}
        before = {name: module.p for name, module in modules.items()}
        for name, module in modules.items():
            module.p = rates[name]
        try:
            yield
        finally:
            for name, module in modules.items():
                module.p = before[name]

    def keep(self, index: list[int], size: int) -> None:
        """Continue with these rows only; the first `size` of them are runs, the others padding."""
        self.weights = self.weights.select(index)
        self.buffers = {n: b[index] for n, b in self.buffers.items()}
        self.rates = {n: r[index] for n, r in self.rates.items()}
        self.size, self.padding = size, len(index) - size

    def state_dict(self, row: int, params: Mapping[str, Tensor] | None = None) -> Named:
        """Return a copy of a row's state with the names of its model's `state_dict`.

        Args:
            row: The row.
            params: Parameters `[rows, ...]` to use in place of those of the stack.
        """
        tensors = {n: t[row].detach().clone() for n, t in ({**self.buffers} | dict(params or self.params)).items()}
        return {n: tensors[source] for n, source in self.state_dict_names.items()}

    @property
    def state_dict_names(self) -> dict[str, str]:
        """The parameter or buffer behind each name of the state dict, where a shared tensor has several names."""
        state = self.base.model.state_dict(keep_vars=True)
        sources = {id(t): n for n, t in [*self.base.model.named_parameters(), *self.base.model.named_buffers()]}
        return {name: sources[id(t)] for name, t in state.items()}


def _pad_rows(t: Tensor) -> Tensor:
    """Flatten `[rows, ...]` to `[rows, n]`, with n rounded up to whole vectors."""
    flat = t.flatten(1)
    return torch.nn.functional.pad(flat, (0, -flat.shape[1] % VECTOR)).contiguous()
