"""K models of one shape as one: every parameter and buffer a tensor [rows, ...], called under vmap.

The last rows may be nobody's: copies of the first member that no optimizer steps. A stack has at least two rows, and
as many of those at its end as element-wise kernels need (`harness.training.vectorized.bitwise`).
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
from harness.training.vectorized.lifting import Lifted, dropouts

Named = dict[str, Tensor]


class BoundMethods(nn.Module):
    """Calls any method of a model: functional_call knows `forward` alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, method: str, *x: Any) -> Any:
        return call_method(self.model, method, *x)


class Weights:
    """The parameters of a stack. `params` [rows, ...] are views of `storage` [rows, n], where n is theirs rounded up to
    whole vectors: an optimizer's kernel, which goes over the storage, then never ends inside a vector.
    """

    def __init__(self, storage: Named, of: dict[str, tuple[tuple[int, ...], bool]]) -> None:
        self.storage, self.of = storage, of
        self.params = {
            name: t[:, : math.prod(of[name][0])].view(len(t), *of[name][0]).requires_grad_(of[name][1])
            for name, t in storage.items()
        }

    def kept(self, index: list[int]) -> Weights:
        """A copy of some rows."""
        return Weights({name: t[index] for name, t in self.storage.items()}, self.of)

    def random(self, rows: int, draw: torch.Generator) -> Weights:
        """Others of the same shapes, standard normal."""
        made = {}
        for name, t in self.storage.items():
            made[name] = torch.randn(rows, t.shape[1], generator=draw).to(t.device, t.dtype)
            made[name][:, math.prod(self.of[name][0]) :] = 0
        return Weights(made, self.of)

    def small(self) -> Weights:
        """One row of the same names and dimensions, none of more than three numbers."""
        of = {name: (tuple(min(n, 3) for n in shape), wanted) for name, (shape, wanted) in self.of.items()}
        return Weights({name: _room(t.new_zeros(1, *of[name][0])) for name, t in self.storage.items()}, of)


class Stack:
    """The members' models. Raises Unlike if they cannot be one stack."""

    def __init__(self, models: Sequence[nn.Module], spare: int, device: torch.device) -> None:
        self.size, self.spare = len(models), spare
        first = models[0]
        dtype = dtype_of(first)
        self.rates = {n: self._spared(t) for n, t in dropouts(models, dtype, device).items()}
        self.base = BoundMethods(copy.deepcopy(first))
        named = dict(first.named_parameters())
        stacked = self._stacked([list(m.parameters()) for m in models], device)
        self.weights = Weights(
            {name: _room(t) for name, t in zip(named, stacked, strict=True)},
            {name: (tuple(p.shape), p.requires_grad) for name, p in named.items()},
        )
        names = [name for name, _ in first.named_buffers()]
        self.buffers = dict(zip(names, self._stacked([list(m.buffers()) for m in models], device), strict=True))

    @property
    def rows(self) -> int:
        """Members and spare rows."""
        return self.size + self.spare

    @property
    def params(self) -> Named:
        """Every parameter [rows, ...]."""
        return self.weights.params

    def _stacked(self, members: list[list[Tensor]], device: torch.device) -> Iterator[Tensor]:
        for tensors in zip(*members, strict=True):
            yield self._spared(torch.stack([t.detach().to(device) for t in tensors]))

    def _spared(self, tensor: Tensor) -> Tensor:
        """With the spare rows at its end."""
        return torch.cat([tensor, tensor[:1].expand(self.spare, *tensor.shape[1:])]) if self.spare else tensor

    def map(self, function: Callable[..., Any], key: Tensor, *args: Any, params: Named | None = None) -> Any:
        """vmap of function(call, noise, *args of one member) over the members' keys and `args`."""

        def one(params: Named, buffers: Named, rates: Lifted, key: Tensor, *args: Any) -> Any:
            bound = {f"model.{name}": t for name, t in (params | buffers).items()}

            def call(*x: Any, method: str = "forward") -> Any:
                return functional_call(self.base, bound, (method, *x))

            with self.rated(rates):
                return function(call, Noise(key), *args)

        return vmap(one, randomness="error")(params or self.params, self.buffers, self.rates, key, *args)

    @contextmanager
    def rated(self, rates: Lifted) -> Iterator[None]:
        """Inside, each dropout has the rate of the member that is computed."""
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
        """Goes on with these rows, of which the first `size` are members."""
        self.weights = self.weights.kept(index)
        self.buffers = {n: b[index] for n, b in self.buffers.items()}
        self.rates = {n: r[index] for n, r in self.rates.items()}
        self.size, self.spare = size, len(index) - size

    def member(self, row: int, params: Mapping[str, Tensor] | None = None) -> Named:
        """One member's state, as its model's own `state_dict` names it."""
        tied = {n: t[row].detach().clone() for n, t in ({**self.buffers} | dict(params or self.params)).items()}
        return {n: tied[m] for n, m in self.names.items()}

    @property
    def names(self) -> dict[str, str]:
        """{name in the state dict: name of the parameter or buffer}: shared tensors have several names there."""
        state = self.base.model.state_dict(keep_vars=True)
        own = {id(t): n for n, t in [*self.base.model.named_parameters(), *self.base.model.named_buffers()]}
        return {name: own[id(t)] for name, t in state.items()}


def _room(t: Tensor) -> Tensor:
    """[rows, ...] as [rows, n] with n rounded up to whole vectors."""
    flat = t.flatten(1)
    return torch.nn.functional.pad(flat, (0, -flat.shape[1] % VECTOR)).contiguous()
