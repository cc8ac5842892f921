"""Initializers that run the model on data, or keep its own weights."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor, nn

import harness
from harness import initialization
from harness.space import Integers, Log


@harness.initializer(reference="Mishkin, Matas, All you need is a good init, ICLR 2016, arXiv:1511.06422, algorithm 1")
def lsuv(
    model: nn.Module,
    batch: Tensor,
    generator: Generator,
    *,
    tolerance: Annotated[float, Log(0.01, 0.5), Gt(0), "accepted distance of a layer's output variance from 1"] = 0.1,
    rounds: Annotated[int, Integers(1, 20), Ge(1), "maximum number of rescalings of a layer"] = 10,
) -> None:
    """Layer-sequential unit variance: orthogonal weights, rescaled until the outputs on one batch have variance 1.

    From the first layer to the last, until |Var - 1| < `tolerance`:

        W ← W / sqrt(Var(layer(x)))

    Biases are zero. A layer whose output does not vary is left as it is.

    Args:
        model: the model, initialized in place.
        batch: inputs of one training batch, `[N, ...]`.
        generator: source of the orthogonal weights.

    >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    >>> x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    >>> with torch.no_grad():
    ...     lsuv(model, x, torch.Generator().manual_seed(1), tolerance=0.01)
    >>> round(float(model(x).detach().var()), 1)
    1.0
    """
    for weight, bias, _, _ in initialization.layers(model):
        if bias is not None:
            bias.zero_()
        flat = torch.empty(weight.flatten(1).shape)
        weight.copy_(nn.init.orthogonal_(flat, generator=generator).view_as(weight))
    training = model.training
    model.train()  # as in the first step; the buffers that batches change are restored
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for module, name in initialization.weights(model):
        for _ in range(rounds):
            variance = _variance(model, module, batch)
            if variance is None or abs(variance - 1) < tolerance:
                break
            getattr(module, name).div_(variance**0.5)
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])
    model.train(training)


def _variance(model: nn.Module, module: nn.Module, batch: Tensor) -> float | None:
    """Return the variance of a layer's outputs on a batch, or None if it is zero or not finite."""
    variances: list[float] = []

    def record(_: nn.Module, __: Any, output: Any) -> None:
        out = output[0] if isinstance(output, tuple) else output
        variances.append(float(out.var()))

    hook = module.register_forward_hook(record)
    try:
        model(batch)
    finally:
        hook.remove()
    return variances[-1] if variances and 1e-12 < variances[-1] < float("inf") else None


@harness.initializer(keeps=True)
def as_built(model: nn.Module) -> None:
    """Keep the weights that the model was built with, drawn by its own code or pretrained.

        W ← W

    >>> layer = nn.Linear(2, 2)
    >>> before = layer.weight.clone()
    >>> as_built(layer)
    >>> bool((layer.weight == before).all())
    True
    """
