"""Replacements of torch functions inside vmap: of those without a batching rule, and of slow or inexact ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vjp

from harness._compat.torch import beneath_vmap
from harness.modeling.channels_last import POOLS
from harness.training.vectorized.bitwise import VECTOR
from harness.training.vectorized.products import baddbmm, bmm


class _Products(torch.autograd.Function):
    """Compute y = x wᵀ + b in each row, x `[K, N, I]`, w `[K, O, I]`, b `[K, O]` or None, all results contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return bmm(x, weight.mT) if bias is None else baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, _ = ctx.needs_input_grad
        return (
            bmm(g, weight) if wants_x else None,
            bmm(g.mT, x) if wants_weight else None,
            g.sum(1) if ctx.biased else None,
        )


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return beneath_vmap(_stacked_linear, input, weight, bias)


def _stacked_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if x.ndim == 3:
        product: Tensor = _Products.apply(x, weight, bias)
        return product
    y: Tensor = _Products.apply(x.reshape(len(x), -1, x.shape[-1]), weight, bias)
    return y.view(*x.shape[:-1], weight.shape[1])


def _row_by_row(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Compute a convolution row by row.

    torch would make one grouped convolution of the rows. Its rounding depends on their number, and it is no faster.
    """

    def stacked(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
        biases = [None] * len(x) if bias is None else bias.unbind()
        rows = zip(x.unbind(), weight.unbind(), biases, strict=True)
        return torch.stack([function(*row, *settings) for row in rows])

    def call(input: Tensor, weight: Tensor, bias: Tensor | None = None, *settings: Any, **named: Any) -> Tensor:
        if named:
            order = _SETTINGS[function.__name__.startswith("conv_transpose")]
            arguments = dict(zip(order, settings, strict=False)) | named
            settings = tuple(arguments.get(name, default) for name, default in order.items())
        return beneath_vmap(stacked, input, weight, bias, *settings)

    return call


_SETTINGS: dict[bool, dict[str, Any]] = {
    False: {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    True: {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1},
}


def _recurrent(function: Any, dropout: int) -> Callable[..., Any]:
    """Make vmap decompose a recurrent kernel, which has no batching rule, by a level of differentiation around it.

    Args:
        function: The kernel.
        dropout: The place of the dropout rate among its settings; the mode (training or not) is the next one.
    """

    def call(x: Tensor, hx: Any, weights: Any, *settings: Any) -> Any:
        if settings[dropout] and settings[dropout + 1]:
            raise RuntimeError("dropout between the layers of a recurrent network is drawn inside one kernel of torch")
        several = isinstance(hx, (tuple, list))
        inputs = (x, tuple(hx) if several else hx, list(weights))
        # An lstm in float32 would be one kernel of oneDNN, which vmap does not decompose.
        enabled, *_ = torch.backends.mkldnn.set_flags(_enabled=False, _fp32_precision=None)
        try:
            return vjp(lambda x, hx, w: function(x, hx, w, *settings), *inputs)[0]
        finally:
            torch.backends.mkldnn.set_flags(_enabled=enabled, _fp32_precision=None)

    return call


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Pad the features of `[N, C]` to whole vectors: torch processes the features of all rows as one sequence."""
    features = input.shape[1]
    missing = -features % VECTOR
    if input.ndim != 2 or not missing:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    mean, var, scale, shift = (
        None if t is None else F.pad(t, (0, missing)) for t in (running_mean, running_var, weight, bias)
    )
    result = F.batch_norm(F.pad(input, (0, missing)), mean, var, scale, shift, training, momentum, eps)
    for running, padded in ((running_mean, mean), (running_var, var)):
        if training and running is not None and padded is not None:
            running.copy_(padded[:features])
    return result[:, :features]


def _pool(function: Any) -> Callable[..., Any]:
    """Pool the images of all rows as one batch."""

    def stacked(x: Tensor, args: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
        pooled: Tensor = POOLS[function](x.flatten(0, 1), *args, **named)
        return pooled.unflatten(0, x.shape[:2])

    def call(input: Tensor, *args: Any, **named: Any) -> Any:
        returns_indices = named.get("return_indices") or True in args[5:]
        if input.ndim != 4 or returns_indices:
            return function(input, *args, **named)
        return beneath_vmap(stacked, input, args, named)

    return call


class _CrossEntropy(torch.autograd.Function):
    """Compute the mean over N of -log softmax(x)[y] in each row, x `[K, N, C]`, y `[K, N]`.

    Targets equal to `ignore` are left out. torch's own cross entropy takes ten kernels under vmap, and most of the
    time of a small network's step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, ignore: int) -> Tensor:
        counted = (y != ignore).to(x.dtype)
        y = y.clamp_min(0)[..., None]
        shifted = x - x.amax(-1, keepdim=True)
        e = shifted.exp()
        total = e.sum(-1, keepdim=True)
        share = counted / counted.sum(-1, keepdim=True)
        ctx.save_for_backward(e / total, y, share)
        return ((total.log() - shifted.gather(-1, y)).squeeze(-1) * share).sum(-1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        p, y, share = ctx.saved_tensors
        scale = (grads[0][:, None] * share)[..., None]
        return (p * scale).scatter_add(-1, y, -scale), None, None


def _cross_entropy(input: Tensor, target: Tensor, *args: Any, **named: Any) -> Tensor:
    plain = not args and not any(named.get(key) for key in ("weight", "size_average", "reduce", "label_smoothing"))
    if not plain or target.is_floating_point() or input.ndim != 2 or named.get("reduction", "mean") != "mean":
        return F.cross_entropy(input, target, *args, **named)
    return beneath_vmap(_CrossEntropy.apply, input, target, named.get("ignore_index", -100))


RECURRENT: dict[Any, Callable[..., Any]] = {
    f: _recurrent(f, dropout=2) for f in (torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu)
}
STACKED: dict[Any, Callable[..., Any]] = {
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    **{f: _pool(f) for f in POOLS},
    F.cross_entropy: _cross_entropy,
    **{f: _row_by_row(f) for f in (F.conv1d, F.conv2d, F.conv3d)},
    **{f: _row_by_row(f) for f in (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)},
    **RECURRENT,
}
