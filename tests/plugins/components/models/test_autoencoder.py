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
def test_what_comes_out_has_the_shape_of_what_goes_in_and_every_parameter_has_a_part_in_it(name, settings, shape):
    made, x = model(name, shape, **settings), inputs(*shape)
    with noise():
        y = made(x)
    parts = y if isinstance(y, tuple) else (y,)
    assert parts[0].shape == x.shape
    sum(part.square().sum() for part in parts).backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.parameters())
    made.eval()
    torch.testing.assert_close(made(x[2:3])[0], (made(x)[0][2:3] if name == "vae" else made(x)[2]))


@pytest.mark.parametrize("code", [1, 4])
@pytest.mark.parametrize("form", ["linear", "dense", "convolutional"])
def test_all_goes_through_the_code(form, code):
    made, x = model("autoencoder", (1, 8, 8), form=form, code=code), inputs(1, 8, 8)
    assert made.encoder(x).shape == (6, code)
    torch.testing.assert_close(made(x), made.decoder(made.encoder(x)))


def test_the_linear_form_is_two_affine_maps():
    made, x = model("autoencoder", (2, 3), form="linear", code=2).double(), inputs(2, 3).double()
    w, b, v, c = (p.detach().numpy() for p in made.parameters())
    expected = (x.numpy().reshape(6, 6) @ w.T + b) @ v.T + c
    np.testing.assert_allclose(made(x).detach().numpy().reshape(6, 6), expected, rtol=1e-12, atol=1e-12)


def test_denoising_adds_noise_in_training_alone():
    made, x = model("autoencoder", (5,), form="linear", denoising=0.5), inputs(5)
    drawn = Noise(keys(torch.tensor(0), 0)).normal(x.shape)
    with noise():
        trained = made(x)
    made.eval()
    torch.testing.assert_close(trained, made(x + 0.5 * drawn))


@pytest.mark.parametrize("name", ["autoencoder", "vae"])
def test_convolutions_want_images(name):
    with pytest.raises(HarnessError, match=r"model.form=convolutional requires images .* shape \(5,\)"):
        model(name, (5,), form="convolutional")


def test_a_code_is_drawn_in_training_and_its_mean_in_evaluation():
    made, x = model("vae", (5,), latent=3), inputs(5)
    drawn = Noise(keys(torch.tensor(0), 0)).normal((6, 3))
    with noise():
        decoded, mu, log_variance = made(x)
    torch.testing.assert_close(decoded, made.decoder(mu + log_variance.exp().sqrt() * drawn))
    made.eval()
    decoded, mu, _ = made(x)
    torch.testing.assert_close(decoded, made.decoder(mu))


def test_a_sample_is_a_decoded_draw_from_the_prior():
    made, x = model("vae", (5,), latent=3), inputs(5)
    with noise(4):
        drawn = made.sample(x)
    torch.testing.assert_close(drawn, made.decoder(Noise(keys(torch.tensor(4), 0)).normal((6, 3))))


def test_the_best_linear_autoencoder_is_as_good_as_the_principal_components(workdir):
    overrides = ["experiment=linear_autoencoder", "logger=[]"]
    record = harness.run(overrides)
    dataset = load(compose(overrides).values).dataset
    train, test = (dataset.part(split).x.flatten(1).double().numpy() for split in ("train", "test"))
    components = PCA(record.config["model"]["code"]).fit(train)
    for x, found in ((train, record.metrics["train/loss"]), (test, record.metrics["test/mse"])):
        error = np.mean((components.inverse_transform(components.transform(x)) - x) ** 2)
        assert found == pytest.approx(error, rel=0.01)
