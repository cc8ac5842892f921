"""Element-wise optimizers that torch lacks, or does not resume exactly."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

import harness
from harness import seeds
from harness.space import Choice, Log
from harness_components.optimizers.base import (
    Betas,
    Decay,
    Decoupled,
    Eps,
    Params,
    PerParameter,
    State,
    buffer,
    next_step,
    update_moments,
)


class AveragedMomentum(PerParameter):
    """SGD along the exponential average of the gradients."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · v."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        v = buffer(state, "v", p)
        v.lerp_(g, 1 - group["momentum"])
        p.add_(v, alpha=-group["lr"])


@harness.optimizer(
    reference="Liu, Gao, Yin, An improved analysis of stochastic gradient descent with momentum, NeurIPS 2020, "
    "arXiv:2007.07989"
)
def ema_momentum(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-3, 10), Gt(0), "learning rate"] = 0.1,
    momentum: Annotated[float, Choice(0.5, 0.9, 0.99), Interval(ge=0, lt=1), "decay rate μ of the average"] = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Momentum as an exponential average of the gradients.

    With μ = `momentum` and v = 0 at first:

        v ← μ v + (1 - μ) g
        w ← w - lr · v

    Equal to `momentum` with the learning rate lr · (1 - momentum): under a constant gradient the weights move by lr · g
    in a step, whatever the momentum.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(ema_momentum, lr=1.0, momentum=0.9)
    [1.0, 0.9, 0.72, 0.486]
    """
    return AveragedMomentum(params, lr=lr, momentum=momentum, weight_decay=weight_decay)


class NAdam(PerParameter):
    """NAdam that resumes exactly: torch's keeps the product of momenta in float32, and resumes from that."""

    def numbers(self, state: State, group: State) -> dict[str, float]:
        """Return the factors of m and g in m̂, and that of v̂."""
        t, (first, second) = next_step(state), group["betas"]
        now, after = (first * (1 - 0.5 * 0.96 ** (i * group["momentum_decay"])) for i in (t, t + 1))
        product = state["product"] = state.get("product", 1.0) * now
        return {"m": after / (1 - product * after), "g": (1 - now) / (1 - product), "v": 1 - second**t}

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · m̂ / (sqrt(v̂) + ε)."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        m, v = update_moments(g, state, group["betas"])
        ahead = (m * group["m"]).add_(g, alpha=group["g"])
        p.addcdiv_(ahead, (v / group["v"]).sqrt_().add_(group["eps"]), value=-group["lr"])


@harness.optimizer(
    reference="Dozat, Incorporating Nesterov momentum into Adam, ICLR 2016 workshop, openreview OM0jvwB8jIp57ZJjtNEZ"
)
def nadam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0), "learning rate"] = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    momentum_decay: Annotated[float, Log(1e-4, 1e-1), Ge(0), "rate ψ at which μ grows to β₁"] = 4e-3,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Adam with Nesterov momentum.

    With β₁, β₂ = `betas`, ε = `eps`, ψ = `momentum_decay`, m and v as in `adam`, and t the step from 1:

        μₜ = β₁ (1 - 0.96^(t ψ) / 2)
        m̂ = μₜ₊₁ m / (1 - Πᵢ₌₁ᵗ⁺¹ μᵢ) + (1 - μₜ) g / (1 - Πᵢ₌₁ᵗ μᵢ)
        w ← w - lr · m̂ / (sqrt(v / (1 - β₂ᵗ)) + ε)

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(nadam, lr=0.1)
    [1.0, 0.8944, 0.82, 0.7527]
    """
    return NAdam(params, lr=lr, betas=betas, eps=eps, momentum_decay=momentum_decay, weight_decay=weight_decay)


class Lion(PerParameter):
    """Steps along the sign of an interpolation between momentum and gradient."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr (sign(β₁ m + (1 - β₁) g) + weight_decay · w)."""
        first, second = group["betas"]
        m = buffer(state, "m", p)
        direction = torch.lerp(m, g, 1 - first).sign_()
        if group["weight_decay"]:
            p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(direction, alpha=-group["lr"])
        m.lerp_(g, 1 - second)


@harness.optimizer(
    reference="Chen et al., Symbolic discovery of optimization algorithms, NeurIPS 2023, arXiv:2302.06675, algorithm 2"
)
def lion(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-2), Gt(0), "learning rate: the distance that each weight moves"] = 1e-4,
    betas: Betas = (0.9, 0.99),
    weight_decay: Decoupled = 0.0,
) -> Optimizer:
    """Lion: steps along the sign of an interpolated momentum, so that every weight moves by lr.

    With β₁, β₂ = `betas`, λ = `weight_decay` and m = 0 at first:

        w ← w - lr (sign(β₁ m + (1 - β₁) g) + λ w)
        m ← β₂ m + (1 - β₂) g

    Good learning rates are three to ten times smaller than Adam's. At a constant learning rate the weights end up
    oscillating with amplitude lr: choose a decaying scheduler.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(lion, lr=0.1)
    [1.0, 0.9, 0.8, 0.7]
    """
    return Lion(params, lr=lr, betas=betas, weight_decay=weight_decay)


class ProximalSGD(PerParameter):
    """A gradient step on the loss, followed by the proximal step of an L1 penalty."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← soft(w - lr · g, lr · strength)."""
        stepped = torch.add(p, g, alpha=-group["lr"])
        p.copy_(nn.functional.softshrink(stepped, group["lr"] * group["strength"]))


@harness.optimizer(
    reference="Daubechies, Defrise, De Mol, An iterative thresholding algorithm for linear inverse problems with a "
    "sparsity constraint, Comm. Pure Appl. Math. 57, 2004; Duchi, Singer, JMLR 10, 2009 (stochastic gradients)"
)
def proximal_sgd(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "learning rate"] = 0.1,
    strength: Annotated[float, Log(1e-6, 1e-1), Ge(0), "factor of the L1 penalty, on all parameters"] = 1e-4,
) -> Optimizer:
    """Proximal gradient descent for an L1 penalty: weights become exactly zero.

    With α = `strength`, which penalizes every parameter, biases too:

        w ← soft(w - lr · g, lr · α),  soft(u, a) = sign(u) max(|u| - a, 0)

    soft(u, a) minimizes |w - u|² / 2 + a |w|, so a step lowers L + α Σ |w|. The subgradient of `l1`, in contrast,
    makes weights small and never exactly zero.

    The iterates on L(w) = w² / 2 from w = 1; w is zero once the gradient is below α:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(proximal_sgd, lr=0.5, strength=0.6)
    [1.0, 0.2, 0.0, 0.0]
    """
    return ProximalSGD(params, lr=lr, strength=strength)


class NoisyGD(PerParameter):
    """Gradient descent with Gaussian noise.

    A parameter's noise is a function of its own seed and its step, which is all that resuming needs.
    """

    def __init__(self, params: Params, lr: float, temperature: float, generator: Generator) -> None:
        super().__init__(params, lr=lr, temperature=temperature)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["seed"] = int(torch.randint(1 << 62, (), generator=generator))

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · g + sqrt(2 · lr · temperature) ξ."""
        generator = seeds.generator(state["seed"], next_step(state))
        noise = torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device)
        p.add_(g, alpha=-group["lr"]).add_(noise, alpha=math.sqrt(2 * group["lr"] * group["temperature"]))


@harness.optimizer(
    reference="Welling, Teh, Bayesian learning via stochastic gradient Langevin dynamics, ICML 2011, eq. 4"
)
def noisy_gd(
    params: Params,
    generator: Generator,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "learning rate"] = 0.1,
    temperature: Annotated[float, Log(1e-8, 1e-2), Ge(0), "T; the noise in a step has variance 2 · lr · T"] = 1e-6,
) -> Optimizer:
    """Gradient descent with Gaussian noise: stochastic gradient Langevin dynamics.

    With T = `temperature`:

        w ← w - lr · g + sqrt(2 · lr · T) ξ,  ξ ~ N(0, 1)

    With exact gradients and a small lr, w comes to be distributed as exp(-L(w) / T): the posterior where L is a mean
    over n samples and T = 1 / n.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(noisy_gd, lr=0.1, temperature=0.01, generator=seeds.generator(0))
    [1.0, 0.8274, 0.6703, 0.6025]
    """
    return NoisyGD(params, lr, temperature, generator)
