import copy

import pytest
import torch
from torch import nn

from harness.modeling.block import Block
from harness.modeling.builder import RunComponents
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from tests.plugins.components.helpers import data, make
from tests.training.helpers import FLOAT64, cohort


def gan(inputs, **settings):
    block = Block(lambda features: nn.Tanh(), lambda features, ndim: None, [], True)
    return make("model", "gan", settings, inputs=inputs, block=block)


def noise(seed=0):
    return Redirect(Noise(keys(torch.tensor(seed), 0)))


@pytest.mark.parametrize(
    ("inputs", "settings"), [((5,), {}), ((2, 3), {"depth": 1}), ((3, 9, 6), {"form": "convolutional"})]
)
def test_discriminator_scores_data_and_samples(inputs, settings):
    net = gan(inputs, latent=4, **settings)
    x = torch.randn(6, *inputs, generator=torch.Generator().manual_seed(1))
    with noise():
        real, fake = net(x)
    with noise():
        samples = net.sample(x)
    assert samples.shape == x.shape
    torch.testing.assert_close(real, net.discriminator(x).squeeze(1))
    torch.testing.assert_close(fake, net.discriminator(samples).squeeze(1))
    drawn = Noise(keys(torch.tensor(0), 0)).normal((6, 4))
    torch.testing.assert_close(samples, net.generator(drawn))


def test_every_parameter_belongs_to_one_player():
    net = gan((5,))
    groups = make("task", "generation", loss=None, dataset=data("iris")).groups(net)
    assert list(groups) == ["generator", "discriminator"]
    assert sorted(groups["generator"] + groups["discriminator"]) == sorted(n for n, _ in net.named_parameters())
    assert all(name.startswith("generator.") for name in groups["generator"])
    net.generator.requires_grad_(False)
    assert net.groups()["generator"] == []


@pytest.mark.parametrize("form", ["non_saturating", "least_squares"])
@pytest.mark.parametrize("fused", [False, True])
def test_each_player_descends_its_own_loss(form, fused):
    """Compare one full-batch step of gradient descent with torch's gradient of each loss."""
    start = {}

    def change(parts: RunComponents) -> None:
        start["model"] = copy.deepcopy(parts.model)

    line = ["model=gan", "model.width=9", "model.latent=3", f"loss.form={form}", "loss=gan", "data=iris", "epochs=1"]
    line += ["batch_size=90", "split.val=0.2", "split.test=0.2", "optimizer=sgd", "optimizer.lr=0.1", *FLOAT64]
    (run,) = cohort([line], change=change, fused=fused)
    model = start["model"].double()
    x = run.dataset.train.x.double()[run.plan.order(0)]
    with Redirect(Noise(keys(torch.tensor(0), 0))):
        real, fake = model(x)
    if form == "non_saturating":
        losses = {
            "generator": nn.functional.binary_cross_entropy_with_logits(fake, torch.ones(90).double()),
            "discriminator": nn.functional.binary_cross_entropy_with_logits(real, torch.ones(90).double())
            + nn.functional.binary_cross_entropy_with_logits(fake, torch.zeros(90).double()),
        }
    else:
        losses = {
            "generator": (fake - 1).square().mean() / 2,
            "discriminator": ((real - 1).square().mean() + fake.square().mean()) / 2,
        }
    for player, loss in losses.items():
        own = {name: p for name, p in model.named_parameters() if name.startswith(player)}
        grads = torch.autograd.grad(loss, list(own.values()), retain_graph=True)
        for (name, p), g in zip(own.items(), grads, strict=True):
            torch.testing.assert_close(run.state.weights[name], p - 0.1 * g, rtol=1e-9, atol=1e-12)
    assert run.state.history[0]["train/loss"] == pytest.approx(sum(losses.values()).item(), rel=1e-9)


@pytest.mark.parametrize("form", ["non_saturating", "least_squares"])
def test_losses_decrease_as_their_player_wins(form):
    def losses(real, fake):
        inputs = tuple(torch.full((5,), float(logit)) for logit in (real, fake))
        return make("loss", "gan", {"form": form}, prediction=inputs, target=None)

    assert losses(1, 0)["discriminator"] < losses(0, 0)["discriminator"] < losses(0, 1)["discriminator"]
    assert losses(0, 1)["generator"] < losses(0, 0)["generator"] < losses(0, -1)["generator"]
    assert losses(-3, 1)["generator"] == losses(2, 1)["generator"]


@pytest.mark.parametrize("settings", [{}, {"form": "convolutional"}])
@pytest.mark.parametrize(("where", "has"), [("both", (1, 1)), ("generator", (1, 0)), ("discriminator", (0, 1))])
def test_normalization_may_be_in_one_network_alone(where, has, settings):
    norms = {0: nn.BatchNorm1d, 2: nn.BatchNorm2d}
    block = Block(lambda features: nn.Tanh(), lambda features, ndim: norms[ndim](features), [], False)
    shape = (1, 8, 8) if settings else (5,)
    net = make("model", "gan", {"normalized": where, **settings}, inputs=shape, block=block)
    for network, normalized in zip((net.generator, net.discriminator), has, strict=True):
        layers = list(network.modules())
        assert any(isinstance(m, tuple(norms.values())) for m in layers) == bool(normalized)
        hidden = next(m for m in layers if isinstance(m, nn.Linear | nn.Conv2d))
        assert (hidden.bias is None) == bool(normalized)  # a layer without normalization keeps its bias
