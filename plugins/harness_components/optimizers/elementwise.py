"""Element-wise optimizers that torch lacks, or does not resume exactly: it is they that are written here."""

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
    OneByOne,
    Params,
    State,
    counted,
    kept,
    moments,
)


class AveragedMomentum(OneByOne):
    """Steps by the exponential average of the gradients."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · v."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        v = kept(state, "v", p)
        v.lerp_(g, 1 - group["momentum"])
        p.add_(v, alpha=-group["lr"])


@harness.optimizer(
    reference="Liu, Gao, Yin, An improved analysis of stochastic gradient descent with momentum, NeurIPS 2020, "
    "arXiv:2007.07989"
)
def ema_momentum(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-3, 10), Gt(0)] = 0.1,
    momentum: Annotated[float, Choice(0.5, 0.9, 0.99), Interval(ge=0, lt=1)] = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Momentum as an exponential average of the gradients.

    v ← momentum · v + (1 - momentum) g, from v = 0;  w ← w - lr · v. The path is that of the heavy ball with the
    learning rate lr · (1 - momentum): a lasting gradient moves w by lr a step, whatever the momentum.
    """
    return AveragedMomentum(params, lr=lr, momentum=momentum, weight_decay=weight_decay)


class NAdam(OneByOne):
    """Torch's holds its product of momenta in float32, and resumes in float64 from what was rounded."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · m̂ / (sqrt(v̂) + ε)."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        t, (first, second) = counted(state), group["betas"]
        now, after = (first * (1 - 0.5 * 0.96 ** (i * group["momentum_decay"])) for i in (t, t + 1))
        product = state["product"] = state.get("product", 1.0) * now
        m, v = moments(g, state, group["betas"])
        ahead = (m * (after / (1 - product * after))).add_(g, alpha=(1 - now) / (1 - product))
        p.addcdiv_(ahead, (v / (1 - second**t)).sqrt_().add_(group["eps"]), value=-group["lr"])


@harness.optimizer(
    reference="Dozat, Incorporating Nesterov momentum into Adam, ICLR 2016 workshop, openreview OM0jvwB8jIp57ZJjtNEZ"
)
def nadam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-5, 1e-1), Gt(0)] = 2e-3,
    betas: Betas = (0.9, 0.999),
    eps: Eps = 1e-8,
    momentum_decay: Annotated[float, Log(1e-4, 1e-1), Ge(0), "how fast the momentum grows to β₁"] = 4e-3,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Adam with Nesterov's look-ahead in its mean of gradients.

    μₜ = β₁ (1 - 0.96^(t · momentum_decay) / 2);  m, v as in Adam;  m̂ = μₜ₊₁ m / (1 - Πᵢ₌₁ᵗ⁺¹ μᵢ) +
    (1 - μₜ) g / (1 - Πᵢ₌₁ᵗ μᵢ);  w ← w - lr · m̂ / (sqrt(v / (1 - β₂ᵗ)) + ε).
    """
    return NAdam(params, lr=lr, betas=betas, eps=eps, momentum_decay=momentum_decay, weight_decay=weight_decay)


class Lion(OneByOne):
    """Steps by the sign of an interpolated momentum."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr (sign(β₁ m + (1 - β₁) g) + weight_decay · w)."""
        first, second = group["betas"]
        m = kept(state, "m", p)
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
    lr: Annotated[float, Log(1e-5, 1e-2), Gt(0)] = 1e-4,
    betas: Betas = (0.9, 0.99),
    weight_decay: Decoupled = 0.0,
) -> Optimizer:
    """Steps by the sign of an interpolated momentum: every weight moves by lr.

    u = sign(β₁ m + (1 - β₁) g);  w ← w - lr (u + weight_decay · w);  m ← β₂ m + (1 - β₂) g. Good learning rates are
    three to ten times smaller than Adam's.
    """
    return Lion(params, lr=lr, betas=betas, weight_decay=weight_decay)


class ProximalSGD(OneByOne):
    """A gradient step on the loss, then a proximal step on the absolute values."""

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
    lr: Annotated[float, Log(1e-4, 1), Gt(0)] = 0.1,
    strength: Annotated[float, Log(1e-6, 1e-1), Ge(0), "of the L1 penalty, on all parameters"] = 1e-4,
) -> Optimizer:
    """Gradient descent with an L1 penalty, taken by its proximal step: weights become exactly zero.

    w ← soft(w - lr · g, lr · strength), soft(u, a) = sign(u) max(|u| - a, 0), which minimizes
    |w - u|² / 2 + a |w|. Step by step on L + strength · Σ |w|; every parameter is penalized, biases too.
    """
    return ProximalSGD(params, lr=lr, strength=strength)


class NoisyGD(OneByOne):
    """Gradient descent with normal noise.

    A parameter's noise is a function of its own seed and its step: so both are all that resuming needs.
    """

    def __init__(self, params: Params, lr: float, temperature: float, generator: Generator) -> None:
        super().__init__(params, lr=lr, temperature=temperature)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["seed"] = int(torch.randint(1 << 62, (), generator=generator))

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · g + sqrt(2 · lr · temperature) ξ."""
        draw = seeds.generator(state["seed"], counted(state))
        noise = torch.randn(p.shape, generator=draw, dtype=p.dtype).to(p.device)
        p.add_(g, alpha=-group["lr"]).add_(noise, alpha=math.sqrt(2 * group["lr"] * group["temperature"]))


@harness.optimizer(
    reference="Welling, Teh, Bayesian learning via stochastic gradient Langevin dynamics, ICML 2011, eq. 4"
)
def noisy_gd(
    params: Params,
    generator: Generator,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0)] = 0.1,
    temperature: Annotated[float, Log(1e-8, 1e-2), Ge(0), "variance of the noise, over twice the learning rate"] = 1e-6,
) -> Optimizer:
    """Gradient descent that normal noise shakes out of shallow minima: Langevin dynamics.

    w ← w - lr · g + sqrt(2 · lr · temperature) ξ, ξ ~ N(0, 1). With exact gradients and small steps w comes to be
    distributed as exp(-L(w) / temperature): a posterior where L is a mean over n samples and temperature = 1 / n.
    """
    return NoisyGD(params, lr, temperature, generator)
