"""The block between two layers of a model: normalization, activation, and layers of regularizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

ROLE = "harness_role"  # attribute of a module that holds its role in a network: activation or normalization


class Elementwise(nn.Module):
    """An activation function as a module.

    Args:
        function: The activation component.
        settings: Its settings.
        name: Its name, for the representation of the model.
    """

    def __init__(self, function: Callable[..., Tensor], settings: dict[str, Any], name: str) -> None:
        super().__init__()
        self.function, self.settings, self.name = function, settings, name

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation to x, of any shape."""
        return self.function(x, **self.settings)

    def extra_repr(self) -> str:
        """Return the name and the settings."""
        return ", ".join([self.name, *(f"{k}={v}" for k, v in self.settings.items())])


class Block:
    """Factory for what follows a layer. A model asks for `block` and calls it once for each hidden layer.

    Args:
        activation: Makes an activation for a number of features.
        normalization: Makes a normalization for features and spatial dimensions, or None.
        layers: Make the layers of regularizers for features and spatial dimensions.
        bias: True if the layer before needs a bias.
        factor: Input width of the activation divided by its output width.
        branches: Make the layers of regularizers at the end of residual branches.

    Attributes:
        bias: True if the layer before needs a bias; some normalizations cancel it.
    """

    def __init__(
        self,
        activation: Callable[[int], nn.Module],
        normalization: Callable[[int, int], nn.Module | None],
        layers: list[Callable[[int, int], nn.Module | None]],
        bias: bool,
        factor: int = 1,
        branches: list[Callable[[int, int], nn.Module | None]] | None = None,
    ) -> None:
        self._activation, self._normalization, self._layers = activation, normalization, layers
        self._factor, self._branches = factor, branches or []
        self.bias = bias  # False if the normalization cancels the bias of the layer before

    def without_normalization(self) -> Block:
        """Return this factory without the normalization of layer outputs."""
        return Block(self._activation, lambda features, ndim: None, self._layers, True, self._factor, self._branches)

    def inputs(self, width: int) -> int:
        """Return the output width of the layer before the block.

        Args:
            width: The output width of the block.
        """
        return self._factor * width

    def branch(self, index: int, depth: int) -> nn.Sequential:
        """Return the layers of regularizers for the end of a residual branch, before the addition.

        Args:
            index: The index of the branch, from 0.
            depth: The number of branches.
        """
        modules = (branch(index, depth) for branch in self._branches)
        return nn.Sequential(*(module for module in modules if module is not None))

    def __call__(self, features: int, ndim: int = 0) -> nn.Sequential:
        """Return normalization, activation and layers of regularizers as one module.

        Args:
            features: The output width.
            ndim: The number of spatial dimensions.

        Returns:
            A module from `[N, inputs(features), ...]` to `[N, features, ...]`.
        """
        width = self.inputs(features)
        parts = {
            "normalization": self._normalization(width, ndim),
            "activation": self._activation(width),
        }
        modules = nn.Sequential()
        for name, module in parts.items():
            if module is not None:
                setattr(module, ROLE, name)
                modules.add_module(name, module)
        for index, make_layer in enumerate(self._layers):
            layer = make_layer(features, ndim)
            if layer is not None:
                modules.add_module(f"regularizer{index}", layer)
        return modules
