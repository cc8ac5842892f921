"""Optimizers of torch.

Each runs as one kernel (`fused`) where torch has one, else as few (`foreach`): the same numbers in less time.
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


def _fused(params: Params) -> bool:
    return all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in params)


@harness.optimizer(
    reference="Sutskever et al., On the importance of initialization and momentum in deep learning, 2013"
)
def sgd(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "learning rate"] = 0.1,
    momentum: Annotated[float, Choice(0.0, 0.5, 0.9, 0.99), Interval(ge=0, lt=1), "momentum coefficient μ"] = 0.0,
    nesterov: Annotated[bool, "Nesterov momentum; requires momentum > 0"] = False,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Stochastic gradient descent, optionally with momentum or Nesterov momentum.

    With g the gradient and μ = `momentum`:

        v ← μ v + g
        w ← w - lr · v, or w ← w - lr (g + μ v) with nesterov

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(sgd, lr=0.1)
    [1.0, 0.9, 0.81, 0.729]
    >>> iterates(sgd, lr=0.1, momentum=0.9)
    [1.0, 0.9, 0.72, 0.486]
    """
    if nesterov and not momentum:
        raise HarnessError("optimizer.nesterov=true requires optimizer.momentum > 0, such as optimizer.momentum=0.9")
    return torch.optim.SGD(
        params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, fused=_fused(params)
    )


@harness.optimizer(
    reference="Polyak, Some methods of speeding up the convergence of iteration methods, USSR Comp. Math. 4(5), 1964"
)
def momentum(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "learning rate"] = 0.01,
    momentum: Annotated[float, Choice(0.5, 0.9, 0.99), Interval(ge=0, lt=1), "momentum coefficient μ"] = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Gradient descent with momentum: Polyak's heavy ball.

    With g the gradient and μ = `momentum`:

        v ← μ v + g
        w ← w - lr · v

    Under a constant gradient the steps grow to lr · g / (1 - μ): lower lr when you raise the momentum.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(momentum, lr=0.1)
    [1.0, 0.9, 0.72, 0.486]
    """
    return torch.optim.SGD(params, lr, momentum=momentum, weight_decay=weight_decay, fused=_fused(params))


@harness.optimizer(
    reference="Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²), 1983; "
    "in this form: Sutskever et al., On the importance of initialization and momentum in deep learning, ICML 2013"
)
def nesterov(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "learning rate"] = 0.01,
    momentum: Annotated[float, Choice(0.5, 0.9, 0.99), Interval(gt=0, lt=1), "momentum coefficient μ"] = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Gradient descent with Nesterov momentum: the gradient is taken at the point that the velocity leads to.

    With g the gradient at w, the point looked ahead to, and μ = `momentum`:

        v ← μ v + g
        w ← w - lr (g + μ v)

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(nesterov, lr=0.1)
    [1.0, 0.81, 0.5751, 0.3273]
    """
    return torch.optim.SGD(
        params, lr, momentum=momentum, nesterov=True, weight_decay=weight_decay, fused=_fused(params)
    )


@harness.optimizer(reference="Kingma, Ba, Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980")
def adam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0), "learning rate"] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decay = 0.0,
    amsgrad: Annotated[bool, "replace v by its maximum over the steps so far"] = False,
    bias_correction: Annotated[bool, "correct the averages for starting at zero"] = True,
) -> Optimizer:
    """Adam: adaptive steps from averages of the gradient and of its square.

    With g the gradient, β₁, β₂ = `betas`, ε = `eps` and t the step from 1:

        m ← β₁ m + (1 - β₁) g
        v ← β₂ v + (1 - β₂) g²
        w ← w - lr · m̂ / (sqrt(v̂) + ε),  m̂ = m / (1 - β₁ᵗ),  v̂ = v / (1 - β₂ᵗ)

    Without `bias_correction` m̂ = m and v̂ = v, and the first step is (1 - β₁) / sqrt(1 - β₂) times as long. Its weight
    decay is scaled by v̂ like the gradient: choose `adamw` to regularize by weight decay.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(adam, lr=0.1)
    [1.0, 0.9, 0.8004, 0.7016]
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
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0), "learning rate"] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decoupled = 0.01,
) -> Optimizer:
    """Adam with decoupled weight decay.

    With m̂, v̂, ε as in `adam` and λ = `weight_decay`:

        w ← w - lr · λ w - lr · m̂ / (sqrt(v̂) + ε)

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(adamw, lr=0.1)
    [1.0, 0.899, 0.7985, 0.6989]
    """
    return torch.optim.AdamW(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_fused(params))


@harness.optimizer(
    reference="Liu et al., On the variance of the adaptive learning rate and beyond, ICLR 2020, arXiv:1908.03265"
)
def radam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0), "learning rate"] = 1e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Rectified Adam: momentum steps until enough gradients have been averaged for Adam's.

    With m̂, v, ε, β₂ and t as in `adam`, ρ∞ = 2 / (1 - β₂) - 1 and ρ = ρ∞ - 2 t β₂ᵗ / (1 - β₂ᵗ), the number of
    gradients in the average v:

        w ← w - lr · r · m̂ sqrt(1 - β₂ᵗ) / (sqrt(v) + ε), where ρ > 5
        w ← w - lr · m̂, elsewhere
        r² = (ρ - 4)(ρ - 2) ρ∞ / ((ρ∞ - 4)(ρ∞ - 2) ρ)

    The warm-up is built in; set `warmup=0`.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(radam, lr=0.1)
    [1.0, 0.9, 0.8053, 0.7158]
    """
    return torch.optim.RAdam(params, lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=True)


@harness.optimizer(reference="Tieleman, Hinton, Lecture 6.5 - RMSProp, Coursera, 2012")
def rmsprop(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0), "learning rate"] = 1e-3,
    alpha: Annotated[float, Choice(0.9, 0.99, 0.999), Interval(ge=0, lt=1), "decay rate α of the average of g²"] = 0.99,
    momentum: Annotated[float, Interval(ge=0, lt=1), "momentum coefficient μ"] = 0.0,
    eps: Eps = 1e-8,
    centered: Annotated[bool, "subtract the squared average of g from v: an estimate of the variance"] = False,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """RMSProp: the gradient divided by the root of the average of its square.

    With g the gradient, α = `alpha`, ε = `eps` and μ = `momentum`:

        v ← α v + (1 - α) g²
        b ← μ b + g / (sqrt(v) + ε)
        w ← w - lr · b

    v starts at zero and is not corrected for it, so that the first steps are up to 1 / sqrt(1 - α) times as long.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(rmsprop, lr=0.01)
    [1.0, 0.9, 0.8329, 0.78]
    """
    return torch.optim.RMSprop(
        params, lr, alpha=alpha, eps=eps, momentum=momentum, centered=centered, weight_decay=weight_decay
    )


@harness.optimizer(reference="Duchi, Hazan, Singer, Adaptive subgradient methods, JMLR 2011")
def adagrad(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "learning rate"] = 1e-2,
    lr_decay: Annotated[float, Ge(0), "decay η of the learning rate"] = 0.0,
    eps: Eps = 1e-10,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """AdaGrad: the gradient divided by the root of the sum of all its squares so far.

    With g the gradient, ε = `eps`, η = `lr_decay` and t the step from 1:

        s ← s + g²
        w ← w - lr / (1 + (t - 1) η) · g / (sqrt(s) + ε)

    Suits sparse gradients. s only grows, so that steps shrink and long trainings can stall.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(adagrad, lr=0.1)
    [1.0, 0.9, 0.8331, 0.7805]
    """
    return torch.optim.Adagrad(params, lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay, fused=_fused(params))


@harness.optimizer(reference="Zeiler, ADADELTA: an adaptive learning rate method, 2012, arXiv:1212.5701")
def adadelta(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-2, 10), Gt(0), "factor of the step; the paper has 1"] = 1.0,
    rho: Annotated[float, Choice(0.9, 0.95, 0.99), Interval(ge=0, lt=1), "decay rate ρ of the averages"] = 0.9,
    eps: Eps = 1e-6,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """AdaDelta: steps in the units of the weights, from averages of squared gradients and squared steps.

    With g the gradient, ρ = `rho` and ε = `eps`:

        v ← ρ v + (1 - ρ) g²
        d = g · sqrt(u + ε) / sqrt(v + ε)
        u ← ρ u + (1 - ρ) d²
        w ← w - lr · d

    The first steps are of size sqrt(ε), so that it starts slowly.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(adadelta)
    [1.0, 0.9968, 0.9936, 0.9903]
    """
    return torch.optim.Adadelta(params, lr, rho=rho, eps=eps, weight_decay=weight_decay, foreach=True)
