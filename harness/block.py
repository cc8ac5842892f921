"""What stands between two layers of a model: normalization, activation, and what regularizers put there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class Elementwise(nn.Module):
    """An activation function as a module."""

    def __init__(self, function: Callable[..., Tensor], settings: dict[str, Any], name: str) -> None:
        super().__init__()
        self.function, self.settings, self.name = function, settings, name

    def forward(self, x: Tensor) -> Tensor:
        """x: any shape."""
        return self.function(x, **self.settings)

    def extra_repr(self) -> str:
        return ", ".join([self.name, *(f"{k}={v}" for k, v in self.settings.items())])


class Block:
    """Makes what follows a layer. A model asks for `block`, and calls it once for each hidden layer."""

    def __init__(
        self,
        activation: Callable[[], nn.Module],
        normalization: Callable[[int, int], nn.Module | None],
        layers: list[Callable[[int, int], nn.Module | None]],
        bias: bool,
    ) -> None:
        self._activation, self._normalization, self._layers = activation, normalization, layers
        self.bias = bias  # whether the layer before needs one: a normalization may cancel it

    def inputs(self, width: int) -> int:
        """The width that the layer before must have for the block's output to have `width`."""
        return width

    def __call__(self, features: int, ndim: int = 0) -> nn.Sequential:
        """Normalization, activation, regularizers' layers, for `features` channels and `ndim` spatial dimensions."""
        named = {
            "normalization": self._normalization(features, ndim),
            "activation": self._activation(),
        }
        modules = nn.Sequential()
        for name, module in named.items():
            if module is not None:
                modules.add_module(name, module)
        for index, layer in enumerate(self._layers):
            made = layer(features, ndim)
            if made is not None:
                modules.add_module(f"regularizer{index}", made)
        return modules
