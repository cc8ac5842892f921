import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from tests.plugins.components.helpers import make

DRAW = torch.Generator().manual_seed(0)
X = torch.rand(7, 1, 3, 4, dtype=torch.float64, generator=DRAW)
DECODED = torch.randn(7, 1, 3, 4, dtype=torch.float64, generator=DRAW)
MU, LOG_VARIANCE = torch.randn(2, 7, 5, dtype=torch.float64, generator=DRAW)


def elbo(prediction=(DECODED, MU, LOG_VARIANCE), target=X, **settings):
    return make("loss", "elbo", settings, prediction=prediction, target=target)


def divergence(mu=MU, log_variance=LOG_VARIANCE):
    return kl_divergence(Normal(mu, torch.exp(log_variance / 2)), Normal(0.0, 1.0)).sum(1)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_elbo_of_a_gaussian_matches_torch_distributions(beta, deviation):
    unlikely = -Independent(Normal(DECODED, deviation), 3).log_prob(X)
    expected = (unlikely + beta * divergence()).mean()
    assert elbo(beta=beta, deviation=deviation).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_elbo_of_a_bernoulli_matches_torch_distributions(beta):
    binary = X.round()
    unlikely = -Independent(Bernoulli(logits=DECODED), 3).log_prob(binary)
    expected = (unlikely + beta * divergence()).mean()
    assert elbo(target=binary, beta=beta, likelihood="bernoulli").item() == pytest.approx(expected.item(), rel=1e-12)


def test_code_equal_to_the_prior_costs_nothing():
    prior = (DECODED, torch.zeros(7, 5), torch.zeros(7, 5))
    assert elbo(prior, beta=9.0) == elbo(prior, beta=0.0)


def test_elbo_is_a_lower_bound_attained_at_the_posterior():
    """x = z + ε in one dimension, z and ε ~ N(0, 1): p(x) = N(0, 2), and the posterior is N(x / 2, 1 / 2)."""
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    evidence = Normal(torch.zeros_like(x), 2**0.5).log_prob(x).mean()
    nodes, weights = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(20))

    def bound(mu, variance):
        """Return the mean over the code, by quadrature, which is exact for polynomials."""
        log_variance = torch.full_like(x, variance).log()
        losses = [elbo((mu + variance**0.5 * node, mu, log_variance), x) for node in nodes]
        return -(torch.stack(losses) * weights / weights.sum()).sum()

    assert bound(x / 2, 0.5).item() == pytest.approx(evidence.item(), rel=1e-10)
    assert bound(x / 2, 0.7) < evidence
    assert bound(x / 3, 0.5) < evidence
