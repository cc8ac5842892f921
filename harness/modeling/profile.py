"""A pass of two samples through a fresh model: whether it or its losses draw random numbers, and how much work."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.modeling.calling import calling
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Batch, Task
from harness.system.errors import reraise_interrupt


@dataclass(frozen=True)
class Probe:
    """What a model is like in training."""

    noisy: bool  # it draws random numbers: redirecting them costs, and most models draw none
    work: int | None  # multiplications and additions of one sample's forward pass; None where it could not be told
    activations: int | None = None  # numbers that one sample's forward pass makes


def probe(model: nn.Module, sample: Tensor) -> Probe:
    """Probes a copy with some inputs [n, ...]; a model that wants something else than a tensor is taken for noisy."""
    copied = copy.deepcopy(model).train()
    redirect = Redirect(Noise(keys(torch.tensor(0), 0)))
    done: list[int] = []
    made: list[int] = []

    def count(module: nn.Module, _: Any, output: Any) -> None:
        weights = [p for p in module.parameters(recurse=False) if p.ndim > 1]
        out = next((t for t in (output if isinstance(output, tuple) else (output,)) if isinstance(t, Tensor)), None)
        if out is not None and not next(module.children(), None):
            made.append(out.numel())
        if weights and out is not None:
            places = out.numel() // weights[0].shape[0]  # samples, and positions where a layer is shared over them
            done.append(2 * places * sum(w.numel() for w in weights))

    for module in copied.modules():
        module.register_forward_hook(count)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), redirect:
            copied(sample)
    except Exception as error:
        reraise_interrupt(error)
        return Probe(noisy=True, work=None)
    return Probe(redirect.drawn, sum(done) // len(sample), sum(made) // len(sample))


def draws(task: Task, model: nn.Module, batch: Batch) -> bool:
    """Whether a task's losses draw random numbers of torch's, of a model that draws none; losses that fail are taken
    to.
    """
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
