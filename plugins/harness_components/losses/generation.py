"""Losses of models that generate: of the several things that such a model tells of a batch."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.nn import functional as F

import harness
from harness.space import Log


@harness.loss(
    tasks=("generation",),
    reference="Kingma, Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114, eq. 10; "
    "beta: Higgins et al., beta-VAE, ICLR 2017",
)
def elbo(
    prediction: tuple[Tensor, Tensor, Tensor],
    target: Tensor,
    *,
    beta: Annotated[float, Log(0.01, 100), Ge(0), "weight of the divergence from the prior"] = 1.0,
    likelihood: Annotated[Literal["gaussian", "bernoulli"], "bernoulli: of inputs within 0 .. 1"] = "gaussian",
    deviation: Annotated[float, Log(0.01, 10), Gt(0), "σ of a gaussian likelihood"] = 1.0,
) -> Tensor:
    """Minus the evidence lower bound.

    L = mean_n [ - log p(x|z) + beta · KL(N(μ, s²) ‖ N(0, 1)) ], both summed over a sample's numbers, with
    KL = ½ Σ (μ² + s² - 1 - log s²). prediction: (x̂ [N, ...], μ [N, latent], log s² [N, latent]), x̂ the mean of
    N(x̂, σ²) or the logits of a bernoulli; target: x [N, ...].
    """
    decoded, mu, log_variance = prediction
    if likelihood == "gaussian":
        unlikely = 0.5 * ((target - decoded) / deviation).square() + math.log(deviation * math.sqrt(2 * math.pi))
    else:
        unlikely = F.binary_cross_entropy_with_logits(decoded, target, reduction="none")
    divergence = 0.5 * (mu.square() + torch.exp(log_variance) - 1 - log_variance)
    return (unlikely.flatten(1).sum(1) + beta * divergence.sum(1)).mean()


@harness.loss(
    tasks=("generation",),
    reference="Goodfellow et al., Generative adversarial nets, NeurIPS 2014, arXiv:1406.2661; "
    "least squares: Mao et al., Least squares GANs, ICCV 2017, arXiv:1611.04076, eq. 9",
)
def gan(
    prediction: tuple[Tensor, Tensor],
    target: Tensor,
    *,
    form: Literal["non_saturating", "least_squares"] = "non_saturating",
) -> dict[str, Tensor]:
    """The losses of a generator and of a discriminator, each for its own parameters alone.

    non_saturating: L_D = - mean log σ(r) - mean log(1 - σ(f)), L_G = - mean log σ(f);
    least_squares:  L_D = ½ mean (r - 1)² + ½ mean f², L_G = ½ mean (f - 1)².
    prediction: (r [N], f [N]), what the discriminator says of the data and of samples; target: not looked at.
    """
    real, fake = prediction
    if form == "non_saturating":
        return {"generator": F.softplus(-fake).mean(), "discriminator": (F.softplus(-real) + F.softplus(fake)).mean()}
    return {
        "generator": 0.5 * (fake - 1).square().mean(),
        "discriminator": 0.5 * ((real - 1).square() + fake.square()).mean(),
    }


@harness.loss(
    tasks=("generation",),
    reference="Hinton, Training products of experts by minimizing contrastive divergence, Neural Computation 2002",
)
def contrastive_divergence(prediction: tuple[Tensor, ...], target: Tensor) -> Tensor:
    """Contrastive divergence, whose gradient is that of CD-k; its value says little.

    L = mean_n [ F(v) - F(v_k) ], with v_k a sample of k sweeps from v, through which nothing is differentiated.
    prediction: (F(v) [N], F(v_k) [N], ...); target: not looked at.
    """
    return (prediction[0] - prediction[1]).mean()
