"""Optimizers of torch, run as one kernel (`fused`) where it has one, else as few (`foreach`): the same numbers, less
time. Those that torch lacks are in the modules beside this one.
"""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch.optim import Optimizer

import harness
from harness import HarnessError
from harness.space import Choice, Log
from harness_components.optimizers.base import Betas, Decay, Decoupled, Eps, Params, UncorrectedAdam

Momentum = Annotated[float, Choice(0.5, 0.9, 0.99), Interval(ge=0, lt=1), "share of the velocity that is kept a step"]


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


@harness.optimizer(
    reference="Polyak, Some methods of speeding up the convergence of iteration methods, USSR Comp. Math. 4(5), 1964"
)
def momentum(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0)] = 0.01,
    momentum: Momentum = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Heavy ball: the gradients push a velocity, which pushes the weights.

    v ← momentum · v + g;  w ← w - lr · v. A lasting gradient moves w by up to lr / (1 - momentum) a step.
    """
    return torch.optim.SGD(params, lr, momentum=momentum, weight_decay=weight_decay, fused=_fused(params))


@harness.optimizer(
    reference="Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²), 1983; "
    "in this form: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013"
)
def nesterov(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0)] = 0.01,
    momentum: Annotated[float, Choice(0.5, 0.9, 0.99), Interval(gt=0, lt=1)] = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Momentum whose gradient is that of the point where the velocity is about to carry the weights.

    v ← momentum · v + g;  w ← w - lr (g + momentum · v), where w is the point looked ahead to.
    """
    return torch.optim.SGD(
        params, lr, momentum=momentum, nesterov=True, weight_decay=weight_decay, fused=_fused(params)
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
    bias_correction: Annotated[bool, "divide the averages, which start at zero, by the weight that they hold"] = True,
) -> Optimizer:
    """Steps by the gradient's mean over its root mean square, both averaged exponentially and corrected for bias.

    m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²;  w ← w - lr · m̂ / (sqrt(v̂) + ε), with m̂ = m / (1 - β₁ᵗ) and
    v̂ = v / (1 - β₂ᵗ) at step t; without bias_correction m̂ = m and v̂ = v, and the first step is
    (1 - β₁) / sqrt(1 - β₂) times as long.
    """
    if not bias_correction:
        return UncorrectedAdam(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad)
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
    weight_decay: Decoupled = 0.01,
) -> Optimizer:
    """Adam with the decay of weights apart from the gradient.

    w ← w - lr · weight_decay · w, then Adam's step.
    """
    return torch.optim.AdamW(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_fused(params))


@harness.optimizer(
    reference="Liu et al., On the variance of the adaptive learning rate and beyond, ICLR 2020, arXiv:1908.03265"
)
def radam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0)] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Adam that takes plain momentum steps until its second moment rests on enough gradients.

    ρ∞ = 2 / (1 - β₂) - 1;  ρ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ), the number of gradients that v averages. Where ρ > 5:
    w ← w - lr · r · m̂ sqrt(1 - β₂ᵗ) / (sqrt(v) + ε), r² = (ρ - 4)(ρ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρ); elsewhere
    w ← w - lr · m̂.
    """
    return torch.optim.RAdam(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=True)


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


@harness.optimizer(reference="Zeiler, ADADELTA: an adaptive learning rate method, 2012, arXiv:1212.5701")
def adadelta(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-2, 10), Gt(0)] = 1.0,
    rho: Annotated[float, Choice(0.9, 0.95, 0.99), Interval(ge=0, lt=1)] = 0.9,
    eps: Eps = 1e-6,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Steps by the gradient over its root mean square, times that of the steps so far: in the units of the weights.

    v ← ρ v + (1 - ρ) g²;  d = g · sqrt(u + ε) / sqrt(v + ε);  u ← ρ u + (1 - ρ) d²;  w ← w - lr · d.
    """
    return torch.optim.Adadelta(params, lr, rho=rho, eps=eps, weight_decay=weight_decay, foreach=True)
