import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

import harness
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import make


def rbm(visible, hidden, k=1, seed=0):
    net = make("model", "rbm", {"hidden": hidden, "k": k}, inputs=(visible,)).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=draw))
    return net


def states(n):
    return np.array(list(itertools.product([0, 1], repeat=n)), dtype=float)


def joint(made):
    """Return bᵀv + cᵀh + hᵀWv of all v (rows) and all h (columns), written out."""
    w, c, b = (p.detach().numpy() for p in (made.weight, made.bias, made.visible_bias))
    v, h = states(len(b)), states(len(c))
    return (v @ b)[:, None] + (h @ c)[None] + v @ w.T @ h.T


@pytest.mark.parametrize(("visible", "hidden"), [(3, 5), (5, 3), (4, 4)])
def test_likelihood_matches_enumeration_of_all_states(visible, hidden):
    net, log_p = rbm(visible, hidden), joint(rbm(visible, hidden))
    log_z = logsumexp(log_p)
    assert net.log_partition().item() == pytest.approx(log_z, rel=1e-12)
    v = torch.as_tensor(states(visible))
    np.testing.assert_allclose(net.free_energy(v).detach(), -logsumexp(log_p, axis=1), rtol=1e-12, atol=1e-12)
    net.eval()
    with Redirect(Noise(keys(torch.tensor(0), 0))):
        *_, log_likelihood = net(v)
    np.testing.assert_allclose(log_likelihood.detach(), logsumexp(log_p, axis=1) - log_z, rtol=1e-10, atol=1e-12)
    assert log_likelihood.exp().sum().item() == pytest.approx(1)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(visible=st.integers(1, 6), hidden=st.integers(1, 6), seed=st.integers(0, 99))
def test_partition_function_is_equal_over_either_layer(visible, hidden, seed):
    net = rbm(visible, hidden, seed=seed)
    turned = rbm(hidden, visible)
    with torch.no_grad():
        turned.weight.copy_(net.weight.T)
        turned.bias.copy_(net.visible_bias)
        turned.visible_bias.copy_(net.bias)
    torch.testing.assert_close(net.log_partition(), turned.log_partition())


def test_partition_function_too_large_to_enumerate_is_nan():
    assert rbm(20, 15).log_partition().isnan()
    assert rbm(20, 14).log_partition().isfinite()


def test_gibbs_sampling_converges_to_the_models_distribution():
    net, n = rbm(3, 2), 40_000
    log_p = joint(net)
    p = np.exp(logsumexp(log_p, axis=1) - logsumexp(log_p))
    with Redirect(Noise(keys(torch.tensor(0), 0))), torch.no_grad():
        v = net.sweep(torch.zeros(n, 3).double(), 50)
    result = np.bincount((v.numpy() @ [4, 2, 1]).astype(int), minlength=8) / n
    np.testing.assert_allclose(result, p, atol=5 * np.sqrt(0.25 / n))


def test_sample_is_binary_and_has_the_input_shape():
    net = make("model", "rbm", {"hidden": 3}, inputs=(1, 2, 2))
    with Redirect(Noise(keys(torch.tensor(0), 0))), torch.no_grad():
        drawn = net.sample(torch.zeros(200, 1, 2, 2))
    assert drawn.shape == (200, 1, 2, 2)
    assert drawn.unique().tolist() == [0, 1]
    assert 0.4 < drawn.mean() < 0.6  # the weights are zero


@pytest.mark.parametrize("k", [1, 3])
def test_gradient_is_that_of_contrastive_divergence(k):
    """<h v>_data - <h v>_k, Hinton's rule, with the last state of the chain."""
    net = rbm(4, 3, k)
    v = torch.as_tensor(states(4))
    with Redirect(Noise(keys(torch.tensor(0), 0))):
        prediction = net(v)
    with Redirect(Noise(keys(torch.tensor(0), 0))), torch.no_grad():
        end = net.sweep(v, k)
    make("loss", "contrastive_divergence", prediction=prediction, target=v).backward()

    def statistics(v):
        h = 1 / (1 + np.exp(-(v @ net.weight.detach().numpy().T + net.bias.detach().numpy())))
        return [h.T @ v / len(v), h.mean(0), v.mean(0)]

    for p, seen, dreamt in zip(net.parameters(), statistics(v.numpy()), statistics(end.numpy()), strict=True):
        np.testing.assert_allclose(p.grad, dreamt - seen, rtol=1e-9, atol=1e-12)


def test_log_likelihood_is_a_mean_over_all_samples():
    metric = make("metric", "log_likelihood")
    for part in (torch.tensor([-1.0, -2.0]), torch.tensor([-6.0])):
        metric.update((torch.zeros(1), torch.zeros(1), part), None)
    assert metric.compute().item() == pytest.approx(-3)


def test_rbm_learns_bars_and_stripes(workdir):
    record = harness.run(["experiment=rbm", "logger=[]", "trainer.check_val_every_n_epoch=100"])
    assert record.config["objective"] == "val/log_likelihood"
    assert -np.log(14) > record.metrics["test/log_likelihood"] > -3.5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=vae", "loss=gan"], "loss gan does not fit model vae. Known: elbo."),
        (["model=gan", "metric=[log_likelihood]"], "metric log_likelihood does not fit model gan."),
    ],
)
def test_loss_or_metric_of_another_model_is_refused(overrides, message, workdir):
    with pytest.raises(HarnessError, match=message):
        harness.run(overrides)


@pytest.mark.parametrize(("line", "chosen"), [("bars_and_stripes", []), ("digits", ["min_max"])])
def test_auto_transform_scales_inputs_into_bounds(line, chosen, workdir):
    words = ["model=rbm", "epochs=1", "batch_size=4", f"data={line}", "diagnostic=[]", "logger=[]", "trainer=cpu"]
    record = harness.run(words)
    assert record.status == "completed", record.error
    assert record.choices["transform"] == chosen
