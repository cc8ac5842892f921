"""Training of one run by several processes: sums over processes, and batch statistics of the global batch."""

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


class ProcessGroupStrategy(CommandStrategy):
    """Set up Lightning's process group and devices, without DDP: the learner sums gradients itself.

    The other processes execute a command instead of the user's script, so that notebooks and sweeps can use them.
    """

    def configure_ddp(self) -> None:
        """Leave the module unwrapped."""


@contextmanager
def rank_environment() -> Iterator[None]:
    """Context that restores the rank variables at its end: Lightning takes those of a past run for a cluster's."""
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
    """Return the command line of another process of a run.

    Args:
        payload: The run, as `harness.execution.train.main_rank` reads it.
    """
    return [
        sys.executable,
        "-P",  # the working folder is not searched for modules
        "-c",
        "import sys; from harness.execution.train import main_rank; main_rank(sys.argv[1])",
        payload,
    ]


class _Sum(torch.autograd.Function):
    """Sum over processes; the gradient is the sum of the processes' gradients."""

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


def all_reduce_sum(tensors: Sequence[Tensor]) -> None:
    """Sum tensors of one dtype over all processes, in place, as one message."""
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


_local = ContextVar("local", default=False)  # set while one process measures its model by itself


@contextmanager
def local_only() -> Iterator[None]:
    """Context in which this process computes without the others."""
    token = _local.set(True)
    try:
        yield
    finally:
        _local.reset(token)


class SyncedBatchNorm(AnyBatchNorm):
    """Batch normalization by the statistics of the global batch, on any device (torch's own requires a GPU)."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalize `input` `[N, C, ...]`, this process's part of the global batch."""
        use_batch = (self.training or self.running_mean is None) and not _local.get()
        if not use_batch:
            return super().forward(input)
        dims = [0, *range(2, input.ndim)]
        count = _Sum.apply(input.new_tensor([input.numel() / input.shape[1]]))
        mean = _Sum.apply(input.sum(dims)) / count
        shape = [1, -1, *[1] * (input.ndim - 2)]
        centred = input - mean.view(shape)
        var = _Sum.apply((centred * centred).sum(dims)) / count
        if self.training and self.running_mean is not None and self.running_var is not None:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            rate = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
            with torch.no_grad():
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
                unbiased = var * (count / (count - 1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), rate)
        normalized = centred * torch.rsqrt(var + self.eps).view(shape)
        return normalized if self.weight is None else normalized * self.weight.view(shape) + self.bias.view(shape)


def convert_sync_batchnorm(module: nn.Module) -> nn.Module:
    """Replace every batch normalization of a module, in place, by a synchronized one with the same values.

    Returns:
        The module, or its replacement if it is a batch normalization itself.
    """
    for name, child in module.named_children():
        setattr(module, name, convert_sync_batchnorm(child))
    if not isinstance(module, BatchNormBase) or isinstance(module, SyncedBatchNorm):
        return module
    synced = SyncedBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    like = next((t for t in module.state_dict().values() if t.is_floating_point()), torch.empty(0))
    synced.to(like.device, like.dtype).load_state_dict(module.state_dict())
    return synced.train(module.training)
