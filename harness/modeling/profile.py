"""Profile a fresh model with a pass of two samples: its use of random numbers, its work and its activations."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.modeling.calling import calling
from harness.modeling.channels_last import POOLS
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Batch, Task
from harness.system.errors import reraise_interrupt


@dataclass(frozen=True)
class Probe:
    """The profile of a model in training."""

    noisy: bool  # the model draws random numbers, which must be redirected at some cost
    work: int | None  # multiplications and additions of one sample's forward pass; None if unknown
    activations: int | None = None  # numbers that one sample's forward pass computes
    dense: bool = False  # each layer is used once for each sample
    pools: bool = False  # the model calls functions of `POOLS`, which must be redirected, too


def probe(model: nn.Module, sample: Tensor) -> Probe:
    """Profile a copy of a model. A model that fails on a tensor is taken for noisy.

    Args:
        model: The model.
        sample: Inputs, shape `[n, ...]`.
    """
    copied = copy.deepcopy(model).train()
    redirect = Redirect(Noise(keys(torch.tensor(0), 0)), POOLS)
    work: list[int] = []
    sizes: list[int] = []
    dense = True

    def count(module: nn.Module, _: Any, output: Any) -> None:
        nonlocal dense
        weights = [p for p in module.parameters(recurse=False) if p.ndim > 1]
        out = next((t for t in (output if isinstance(output, tuple) else (output,)) if isinstance(t, Tensor)), None)
        if out is not None and not next(module.children(), None):
            sizes.append(out.numel())
        if weights and out is not None:
            positions = out.numel() // weights[0].shape[0]  # samples times the positions that share the layer
            work.append(2 * positions * sum(w.numel() for w in weights))
            dense = dense and positions == len(sample)

    for module in copied.modules():
        module.register_forward_hook(count)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), redirect:
            copied(sample)
    except Exception as error:
        reraise_interrupt(error)
        return Probe(noisy=True, work=None)
    return Probe(redirect.drawn, sum(work) // len(sample), sum(sizes) // len(sample), dense, redirect.replaced)


def draws(task: Task, model: nn.Module, batch: Batch) -> bool:
    """Return True if a task's losses draw torch's random numbers for a model that draws none, or if they fail."""
    copied = copy.deepcopy(model).train()
    noise = Noise(keys(torch.tensor(0), 0))
    redirect = Redirect(noise)

    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), redirect:
            task.losses(calling(copied), batch, noise)
    except Exception as error:
        reraise_interrupt(error)
        return True
    return redirect.drawn
