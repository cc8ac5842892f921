"""Initializers that look at data."""

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
    tolerance: Annotated[float, Log(0.01, 0.5), Gt(0), "of a layer's variance around 1"] = 0.1,
    rounds: Annotated[int, Integers(1, 20), Ge(1), "rescalings of a layer, at most"] = 10,
) -> None:
    """Layer-sequential unit variance: orthogonal weights, scaled by what a batch makes of them.

    W ← W / sqrt(Var(layer(x))) from the first layer to the last, until |Var - 1| < tolerance; biases are zero. A layer
    whose output does not vary is left as it is.
    """
    for weight, bias, _, _ in initialization.layers(model):
        if bias is not None:
            bias.zero_()
        flat = torch.empty(weight.flatten(1).shape)
        weight.copy_(nn.init.orthogonal_(flat, generator=generator).view_as(weight))
    was = model.training
    model.train()  # as in the first step; what batches leave in buffers is put back
    kept = {name: buffer.clone() for name, buffer in model.named_buffers()}
    for module, name in initialization.weights(model):
        for _ in range(rounds):
            variance = _variance(model, module, batch)
            if variance is None or abs(variance - 1) < tolerance:
                break
            getattr(module, name).div_(variance**0.5)
    for name, buffer in model.named_buffers():
        buffer.copy_(kept[name])
    model.train(was)


def _variance(model: nn.Module, module: nn.Module, batch: Tensor) -> float | None:
    """The variance of a layer's outputs on a batch; None where there is none to scale by."""
    seen: list[float] = []

    def note(_: nn.Module, __: Any, output: Any) -> None:
        out = output[0] if isinstance(output, tuple) else output
        seen.append(float(out.var()))

    hook = module.register_forward_hook(note)
    try:
        model(batch)
    finally:
        hook.remove()
    return seen[-1] if seen and 1e-12 < seen[-1] < float("inf") else None


@harness.initializer(keeps=True)
def as_built(model: nn.Module) -> None:
    """Leaves every weight as the model's own code made it: drawn in its own way, or learned before.

    W ← W
    """
