import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

import harness
from harness.config.composition import compose
from harness.datasets.loading import load
from harness.modeling.block import Block
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.system.errors import HarnessError
from tests.plugins.components.helpers import make


def model(name, inputs, **settings):
    block = Block(lambda features: nn.Tanh(), lambda features, ndim: None, [], True)
    return make("model", name, settings, inputs=inputs, block=block)


def inputs(*shape):
    return torch.randn(6, *shape, generator=torch.Generator().manual_seed(1))


def noise(seed=0):
    return Redirect(Noise(keys(torch.tensor(seed), 0)))


CASES = [
    ("autoencoder", {"form": "linear", "code": 3}, (5,)),
    ("autoencoder", {"form": "dense", "code": 3, "depth": 2}, (2, 4)),
    ("vae", {"form": "dense", "latent": 3}, (5,)),
    *[
        (name, {"form": "convolutional", "channels": channels}, shape)
        for name in ("autoencoder", "vae")
        for channels in ([4], [4, 6, 8])
        for shape in ((1, 8, 8), (3, 9, 5), (2, 1, 20))
    ],
]


@pytest.mark.parametrize(("name", "settings", "shape"), CASES)
def test_output_has_the_input_shape_and_every_parameter_a_gradient(name, settings, shape):
    net, x = model(name, shape, **settings), inputs(*shape)
    with noise():
        y = net(x)
    parts = y if isinstance(y, tuple) else (y,)
    assert parts[0].shape == x.shape
    sum(part.square().sum() for part in parts).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    net.eval()
    torch.testing.assert_close(net(x[2:3])[0], (net(x)[0][2:3] if name == "vae" else net(x)[2]))


@pytest.mark.parametrize("code", [1, 4])
@pytest.mark.parametrize("form", ["linear", "dense", "convolutional"])
def test_output_depends_on_the_code_only(form, code):
    net, x = model("autoencoder", (1, 8, 8), form=form, code=code), inputs(1, 8, 8)
    assert net.encoder(x).shape == (6, code)
    torch.testing.assert_close(net(x), net.decoder(net.encoder(x)))


def test_linear_form_is_two_affine_maps():
    net, x = model("autoencoder", (2, 3), form="linear", code=2).double(), inputs(2, 3).double()
    w, b, v, c = (p.detach().numpy() for p in net.parameters())
    expected = (x.numpy().reshape(6, 6) @ w.T + b) @ v.T + c
    np.testing.assert_allclose(net(x).detach().numpy().reshape(6, 6), expected, rtol=1e-12, atol=1e-12)


def test_denoising_adds_noise_in_training_only():
    net, x = model("autoencoder", (5,), form="linear", denoising=0.5), inputs(5)
    drawn = Noise(keys(torch.tensor(0), 0)).normal(x.shape)
    with noise():
        trained = net(x)
    net.eval()
    torch.testing.assert_close(trained, net(x + 0.5 * drawn))


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_convolutional_form_needs_images(name):
    with pytest.raises(HarnessError, match=r"model.form=convolutional requires images .* shape \(5,\)"):
        model(name, (5,), form="convolutional")


def test_code_is_sampled_in_training_and_the_mean_in_evaluation():
    net, x = model("vae", (5,), latent=3), inputs(5)
    drawn = Noise(keys(torch.tensor(0), 0)).normal((6, 3))
    with noise():
        decoded, mu, log_variance = net(x)
    torch.testing.assert_close(decoded, net.decoder(mu + log_variance.exp().sqrt() * drawn))
    net.eval()
    decoded, mu, _ = net(x)
    torch.testing.assert_close(decoded, net.decoder(mu))


def test_sample_is_a_decoded_draw_from_the_prior():
    net, x = model("vae", (5,), latent=3), inputs(5)
    with noise(4):
        drawn = net.sample(x)
    torch.testing.assert_close(drawn, net.decoder(Noise(keys(torch.tensor(4), 0)).normal((6, 3))))


def test_linear_autoencoder_reaches_the_error_of_pca(workdir):
    overrides = ["experiment=linear_autoencoder", "logger=[]"]
    record = harness.run(overrides)
    dataset = load(compose(overrides).values).dataset
    train, test = (dataset.part(split).x.flatten(1).double().numpy() for split in ("train", "test"))
    components = PCA(record.config["model"]["code"]).fit(train)
    for x, result in ((train, record.metrics["train/loss"]), (test, record.metrics["test/mse"])):
        error = np.mean((components.inverse_transform(components.transform(x)) - x) ** 2)
        assert result == pytest.approx(error, rel=0.01)


def test_codes_are_encoded_and_decoded():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    net = model("autoencoder", (6,), code=2).eval()
    assert net.encode(x).shape == (4, 2)
    torch.testing.assert_close(net.decode(net.encode(x)), net(x))
    net = model("vae", (6,), latent=3).eval()
    decoded, mu, _ = net(x)
    torch.testing.assert_close(net.encode(x), mu)
    torch.testing.assert_close(net.decode(mu), decoded)
