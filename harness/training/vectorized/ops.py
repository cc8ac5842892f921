"""Functions of torch that a stack of members computes in another way: those without a batching rule, and those that
are faster or exacter another way. Each stands in for torch's own inside vmap, and only there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import vjp

from harness._compat.torch import beneath_vmap
from harness.training.vectorized.bitwise import VECTOR


class _Products(torch.autograd.Function):
    """y = x wᵀ + b for each member, x [K, N, I], w [K, O, I], b [K, O] or None: results and gradients contiguous."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.biased = bias is not None
        return torch.bmm(x, weight.mT) if bias is None else torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (g,) = grads
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, _ = ctx.needs_input_grad
        return (
            torch.bmm(g, weight) if wants_x else None,
            torch.bmm(g.mT, x) if wants_weight else None,
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


def _each(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A convolution member by member: torch would make one grouped convolution of them, whose rounding depends on
    how many they are, and which is no faster.
    """

    def each(x: Tensor, weight: Tensor, bias: Tensor | None, *settings: Any) -> Tensor:
        biases = [None] * len(x) if bias is None else bias.unbind()
        members = zip(x.unbind(), weight.unbind(), biases, strict=True)
        return torch.stack([function(*member, *settings) for member in members])

    def call(input: Tensor, weight: Tensor, bias: Tensor | None = None, *settings: Any, **named: Any) -> Tensor:
        if named:
            order = _SETTINGS[function.__name__.startswith("conv_transpose")]
            given = dict(zip(order, settings, strict=False)) | named
            settings = tuple(given.get(name, default) for name, default in order.items())
        return beneath_vmap(each, input, weight, bias, *settings)

    return call


_SETTINGS: dict[bool, dict[str, Any]] = {
    False: {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    True: {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1},
}


def _recurrent(function: Any, dropout: int) -> Callable[..., Any]:
    """A recurrent kernel without a batching rule: a level of differentiation around it makes vmap take it apart.

    `dropout` is the place of the dropout among its arguments; the next tells whether it trains.
    """

    def call(x: Tensor, hx: Any, weights: Any, *settings: Any) -> Any:
        if settings[dropout] and settings[dropout + 1]:
            raise RuntimeError("dropout between the layers of a recurrent network is drawn inside one kernel of torch")
        many = isinstance(hx, (tuple, list))
        given = (x, tuple(hx) if many else hx, list(weights))
        # An lstm in float32 would be one kernel of oneDNN, which vmap does not take apart.
        enabled, *_ = torch.backends.mkldnn.set_flags(_enabled=False, _fp32_precision=None)
        try:
            return vjp(lambda x, hx, w: function(x, hx, w, *settings), *given)[0]
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
    """With the features of [N, C] filled up to whole vectors: torch goes over those of all members in one row."""
    features = input.shape[1]
    more = -features % VECTOR
    if input.ndim != 2 or not more:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    mean, var, scale, shift = (
        None if t is None else F.pad(t, (0, more)) for t in (running_mean, running_var, weight, bias)
    )
    result = F.batch_norm(F.pad(input, (0, more)), mean, var, scale, shift, training, momentum, eps)
    for running, filled in ((running_mean, mean), (running_var, var)):
        if training and running is not None and filled is not None:
            running.copy_(filled[:features])
    return result[:, :features]


class _CrossEntropy(torch.autograd.Function):
    """The mean over N of -log softmax(x)[y], for each member: x [K, N, C], y [K, N]; those equal to `ignore` are left
    out. Torch's own takes ten kernels under vmap, and most of the time of a small network's step.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, ignore: int) -> Tensor:
        counted = (y != ignore).to(x.dtype)
        y = y.clamp_min(0)[..., None]
        low = x - x.amax(-1, keepdim=True)
        e = low.exp()
        total = e.sum(-1, keepdim=True)
        share = counted / counted.sum(-1, keepdim=True)
        ctx.save_for_backward(e / total, y, share)
        return ((total.log() - low.gather(-1, y)).squeeze(-1) * share).sum(-1)

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
    F.cross_entropy: _cross_entropy,
    **{f: _each(f) for f in (F.conv1d, F.conv2d, F.conv3d)},
    **{f: _each(f) for f in (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)},
    **RECURRENT,
}
