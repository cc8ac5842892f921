"""Losses of generative models."""

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
    beta: Annotated[float, Log(0.01, 100), Ge(0), "weight of the KL divergence from the prior"] = 1.0,
    likelihood: Annotated[Literal["gaussian", "bernoulli"], "p(x|z); bernoulli for inputs in [0, 1]"] = "gaussian",
    deviation: Annotated[float, Log(0.01, 10), Gt(0), "standard deviation σ of the gaussian likelihood"] = 1.0,
) -> Tensor:
    """Negative evidence lower bound of a variational autoencoder.

        L = mean_n [ - log p(x|z) + beta · KL(N(μ, s²) ‖ N(0, 1)) ]
        KL = ½ Σ (μ² + s² - 1 - log s²)

    Both terms are summed over the elements of a sample. p(x|z) is N(x̂, σ²) with σ = `deviation`, or a Bernoulli
    distribution with logits x̂.

    Args:
        prediction: (x̂ `[N, ...]`, μ `[N, latent]`, log s² `[N, latent]`).
        target: inputs x, `[N, ...]`.

    Returns:
        Scalar, in nats.

    >>> x, mu, log_variance = torch.zeros(1, 4), torch.ones(1, 2), torch.zeros(1, 2)
    >>> elbo((x, mu, log_variance), x)  # 4 · log(sqrt(2 π)) + ½ (1 + 1)
    tensor(4.6758)
    """
    decoded, mu, log_variance = prediction
    if likelihood == "gaussian":
        negative_log_likelihood = 0.5 * ((target - decoded) / deviation).square() + math.log(
            deviation * math.sqrt(2 * math.pi)
        )
    else:
        negative_log_likelihood = F.binary_cross_entropy_with_logits(decoded, target, reduction="none")
    divergence = 0.5 * (mu.square() + torch.exp(log_variance) - 1 - log_variance)
    return (negative_log_likelihood.flatten(1).sum(1) + beta * divergence.sum(1)).mean()


@harness.loss(
    tasks=("generation",),
    reference="Goodfellow et al., Generative adversarial nets, NeurIPS 2014, arXiv:1406.2661; "
    "least squares: Mao et al., Least squares GANs, ICCV 2017, arXiv:1611.04076, eq. 9",
)
def gan(
    prediction: tuple[Tensor, Tensor],
    target: Tensor,
    *,
    form: Annotated[Literal["non_saturating", "least_squares"], "the formulas above"] = "non_saturating",
) -> dict[str, Tensor]:
    """Losses of a generative adversarial network's generator and discriminator.

    With σ the logistic function:

        non_saturating: L_D = - mean log σ(r) - mean log(1 - σ(f)),  L_G = - mean log σ(f)
        least_squares:  L_D = ½ mean (r - 1)² + ½ mean f²,  L_G = ½ mean (f - 1)²

    Args:
        prediction: (r `[N]`, f `[N]`): logits of the discriminator for real and for generated samples.
        target: ignored.

    Returns:
        {"generator": L_G, "discriminator": L_D}; each is differentiated by its own parameters alone.

    >>> gan((torch.tensor([2.0]), torch.tensor([0.0])), torch.empty(0), form="least_squares")
    {'generator': tensor(0.5000), 'discriminator': tensor(0.5000)}
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
    """Contrastive divergence: a surrogate whose gradient is the CD-k estimate.

        L = mean_n [ F(v) - F(v_k) ]

    v_k is a sample of k Gibbs sweeps from v, through which nothing is differentiated. The value says little about the
    fit.

    Args:
        prediction: (free energies F(v) `[N]`, F(v_k) `[N]`, ...).
        target: ignored.

    >>> contrastive_divergence((torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0])), torch.empty(0))
    tensor(0.5000)
    """
    return (prediction[0] - prediction[1]).mean()
