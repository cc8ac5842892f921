"""Apply an initializer to every layer of a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

_OTHER = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def layers(model: nn.Module) -> Iterator[tuple[Tensor, Tensor | None, int, int]]:
    """Yield (weight, bias, fan_in, fan_out) of every matrix or kernel, in the order of the model.

    Embeddings and scales have no fan and keep torch's initial values.
    """
    for module, name in weights(model):
        parameters = dict(module.named_parameters(recurse=False))
        weight, bias = parameters[name], parameters.get(name.replace("weight", "bias"))
        field = math.prod(weight.shape[2:])
        rows, columns = weight.shape[0] * field, weight.shape[1] * field
        yield ((weight, bias, rows, columns) if isinstance(module, _TRANSPOSED) else (weight, bias, columns, rows))


def weights(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return (module, name) of every matrix and kernel."""
    return [
        (module, name)
        for module in model.modules()
        if not isinstance(module, _OTHER)
        for name, weight in module.named_parameters(recurse=False)
        if "weight" in name and weight.ndim > 1
    ]


def initialize(model: nn.Module, fill: Callable[..., None], gain: float, generator: torch.Generator) -> None:
    """Fill every layer. Biases start at zero unless the initializer fills them."""
    with torch.no_grad():
        for index, (weight, bias, fan_in, fan_out) in enumerate(layers(model)):
            if bias is not None:
                bias.zero_()
            fill(
                weight=weight,
                bias=bias,
                fan_in=fan_in,
                fan_out=fan_out,
                gain=gain,
                index=index,
                generator=generator,
            )
