"""Optimizers. Those of torch run as one kernel (`fused`) where the device has it: the same numbers, less time."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch import nn
from torch.optim import Optimizer

import harness
from harness.errors import HarnessError
from harness.space import Choice, Log

Params = list[nn.Parameter]
Decay = Annotated[float, Log(1e-6, 1e-1), Ge(0), "weight decay, added to the gradient (an L2 penalty)"]
Betas = tuple[Annotated[float, Interval(ge=0, lt=1)], Annotated[float, Interval(ge=0, lt=1)]]
Eps = Annotated[float, Log(1e-10, 1e-4), Gt(0)]


def _fused(params: Params) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in params)


@harness.optimizer(
    reference="Sutskever et al., On the importance of initialization and momentum in deep learning, 2013"
)
def sgd(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0)] = 0.1,
    momentum: Annotated[float, Choice(0.0, 0.5, 0.9, 0.99), Interval(ge=0, lt=1)] = 0.0,
    nesterov: bool = False,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Stochastic gradient descent, with momentum and Nesterov's form of it.

    v ← momentum · v + g;  w ← w - lr · v, or with nesterov  w ← w - lr (g + momentum · v).
    """
    if nesterov and not momentum:
        raise HarnessError("optimizer.nesterov=true wants optimizer.momentum > 0")
    return torch.optim.SGD(
        params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=_fused(params)
    )


@harness.optimizer(reference="Kingma, Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980")
def adam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0)] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decay = 0.0,
    amsgrad: bool = False,
) -> Optimizer:
    """Steps by the gradient's mean over its root mean square, both averaged exponentially and corrected for bias.

    m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²;  w ← w - lr · m̂ / (sqrt(v̂) + ε).
    """
    return torch.optim.Adam(
        params, lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, fused=_fused(params)
    )


@harness.optimizer(reference="Loshchilov, Hutter, Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101")
def adamw(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0)] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Annotated[float, Log(1e-4, 1), Ge(0), "share of a weight that lr = 1 takes off a step"] = 0.01,
) -> Optimizer:
    """Adam with the decay of weights apart from the gradient.

    w ← w - lr · weight_decay · w, then Adam's step.
    """
    return torch.optim.AdamW(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_fused(params))


@harness.optimizer(reference="Tieleman, Hinton, Lecture 6.5 - RMSProp, Coursera, 2012")
def rmsprop(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0)] = 1e-3,
    alpha: Annotated[float, Choice(0.9, 0.99, 0.999), Interval(ge=0, lt=1)] = 0.99,
    momentum: Annotated[float, Interval(ge=0, lt=1)] = 0.0,
    eps: Eps = 1e-8,
    centered: bool = False,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Steps by the gradient over its root mean square, averaged exponentially.

    v ← α v + (1 - α) g²;  w ← w - lr · g / (sqrt(v) + ε).
    """
    return torch.optim.RMSprop(
        params, lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, weight_decay=weight_decay
    )


@harness.optimizer(reference="Duchi, Hazan, Singer, Adaptive subgradient methods, JMLR 2011")
def adagrad(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0)] = 1e-2,
    lr_decay: Annotated[float, Ge(0)] = 0.0,
    eps: Eps = 1e-10,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Steps by the gradient over the root of the sum of all its squares so far: steps only ever shrink.

    s ← s + g²;  w ← w - lr · g / (sqrt(s) + ε).
    """
    return torch.optim.Adagrad(params, lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay, foreach=True)
