"""Training with several processes as if it were one: sums over processes, and batch statistics of the global batch."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from harness._compat.lightning import CommandStrategy
from harness._compat.torch import AnyBatchNorm, BatchNormBase

RANK_VARIABLES = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE")


class Ranks(CommandStrategy):
    """Lightning's process group and devices; gradients are summed by the learner, so nothing is wrapped.

    Its other processes run `command` and not this script again: a notebook or a sweep can have them too.
    """

    def configure_ddp(self) -> None:
        """The module is called as it is."""


@contextmanager
def rank_environment() -> Iterator[None]:
    """Leaves the rank variables as they were: Lightning takes those of a past run for a cluster's."""
    before = {name: os.environ.get(name) for name in RANK_VARIABLES}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()


def child_command(payload: str) -> list[str]:
    """What another process of the same run executes."""
    return [
        sys.executable,
        "-P",  # the working folder is not searched for modules
        "-c",
        "import sys; from harness.execution.train import main_rank; main_rank(sys.argv[1])",
        payload,
    ]


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def sum_(tensors: Sequence[Tensor]) -> None:
    """Sums tensors of one type over all processes, in place, as one message."""
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


_by_itself = ContextVar("by_itself", default=False)  # one process looks at its model, and the others do not know


@contextmanager
def by_itself() -> Iterator[None]:
    """Inside, this process computes without the others."""
    token = _by_itself.set(True)
    try:
        yield
    finally:
        _by_itself.reset(token)


class SyncedBatchNorm(AnyBatchNorm):
    """Batch normalization by the statistics of the global batch, on any device (torch's own wants a GPU)."""

    def forward(self, input: Tensor) -> Tensor:
        """input: [N, C, ...]."""
        use_batch = (self.training or self.running_mean is None) and not _by_itself.get()
        if not use_batch:
            return super().forward(input)
        over = [0, *range(2, input.ndim)]
        count = _Sum.apply(input.new_tensor([input.numel() / input.shape[1]]))
        mean = _Sum.apply(input.sum(over)) / count
        shape = [1, -1, *[1] * (input.ndim - 2)]
        centred = input - mean.view(shape)
        var = _Sum.apply((centred * centred).sum(over)) / count
        if self.training and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            rate = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
                unbiased = var * (count / (count - 1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)
        normal = centred * torch.rsqrt(var + self.eps).view(shape)
        return normal if self.weight is None else normal * self.weight.view(shape) + self.bias.view(shape)


def synchronise(module: nn.Module) -> nn.Module:
    """The module with every batch normalization replaced by a synchronised one that shares its tensors."""
    for name, child in module.named_children():
        setattr(module, name, synchronise(child))
    if not isinstance(module, BatchNormBase) or isinstance(module, SyncedBatchNorm):
        return module
    synced = SyncedBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    like = next((t for t in module.state_dict().values() if t.is_floating_point()), torch.empty(0))
    synced.to(like.device, like.dtype).load_state_dict(module.state_dict())
    return synced.train(module.training)
