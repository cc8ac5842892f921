"""Models that compress an input into a short code and decode it: autoencoders, plain and variational."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Interval, MinLen
from torch import Tensor, nn

import harness
from harness import Block, HarnessError
from harness.space import Integers, Uniform

Inputs = tuple[int, ...]
Width = Annotated[int, Integers(8, 1024, log=True), Gt(0), "dense: units of each hidden layer"]
Depth = Annotated[int, Integers(1, 4), Ge(0), "dense: hidden layers on each side of the code"]
Channels = Annotated[
    tuple[Annotated[int, Gt(0)], ...], MinLen(1), "convolutional: channels of each stage; a stage halves the image"
]


def linear(inputs: Inputs, into: int, code: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return an affine encoder [N, *inputs] to [N, into], and an affine decoder [N, code] to [N, *inputs]."""
    size = math.prod(inputs)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, into))
    return encoder, nn.Sequential(nn.Linear(code, size), nn.Unflatten(1, inputs))


def dense(
    inputs: Inputs, into: int, code: int, block: Block, width: int, depth: int
) -> tuple[nn.Sequential, nn.Sequential]:
    """Return an encoder [N, *inputs] to [N, into] with `depth` hidden layers, and its mirror image from [N, code]."""

    def layers(features: int, out: int) -> nn.Sequential:
        modules = nn.Sequential()
        for index in range(depth):
            layer = nn.Linear(features, block.inputs(width), bias=block.bias)
            modules.add_module(f"layer{index}", nn.Sequential(layer, block(width)))
            features = width
        modules.add_module("head", nn.Linear(features, out))
        return modules

    size = math.prod(inputs)
    encoder, decoder = layers(size, into), layers(code, size)
    return nn.Sequential(nn.Flatten(), *encoder), nn.Sequential(*decoder, nn.Unflatten(1, inputs))


def convolutional(
    inputs: Inputs, into: int, code: int, block: Block, channels: tuple[int, ...]
) -> tuple[nn.Sequential, nn.Sequential]:
    """Return an encoder [N, C, H, W] to [N, into] of strided stages, and its mirror image from [N, code].

    Raises:
        HarnessError: If the inputs are not images.
    """
    if len(inputs) != 3:
        raise HarnessError(
            f"model.form=convolutional requires images [C, H, W], and samples have shape {inputs}: "
            "choose model.form=dense"
        )
    features, *size = inputs
    encoder, stages = nn.Sequential(), []
    for out in channels:
        layer = nn.Conv2d(features, block.inputs(out), 3, stride=2, padding=1, bias=block.bias)
        encoder.append(nn.Sequential(layer, block(out, 2)))
        stages.append((out, features, size))
        features, size = out, [(side + 1) // 2 for side in size]
    flat = features * math.prod(size)
    encoder.extend([nn.Flatten(), nn.Linear(flat, into)])
    width = block.inputs(features)
    decoder = nn.Sequential(
        nn.Linear(code, width * math.prod(size), bias=block.bias), nn.Unflatten(1, (width, *size)), block(features, 2)
    )
    for index, (features, out, size) in reversed(list(enumerate(stages))):
        extra = (1 - size[0] % 2, 1 - size[1] % 2)  # an even side needs one pixel more than 2 · half - 1
        width, bias = (out, True) if index == 0 else (block.inputs(out), block.bias)
        decoder.append(nn.ConvTranspose2d(features, width, 3, stride=2, padding=1, output_padding=extra, bias=bias))
        if index:
            decoder.append(block(out, 2))
    return encoder, decoder


class Autoencoder(nn.Module):
    """An encoder and a decoder; adds noise to the inputs in training."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, denoising: float) -> None:
        super().__init__()
        self.encoder, self.decoder, self.denoising = encoder, decoder, denoising

    def encode(self, x: Tensor) -> Tensor:
        """Map [N, ...] to codes [N, code]."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, z: Tensor) -> Tensor:
        """Map codes [N, code] to [N, ...]."""
        decoded: Tensor = self.decoder(z)
        return decoded

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, ...] to the same shape."""
        if self.training and self.denoising:
            x = x + self.denoising * torch.randn_like(x)
        return self.decode(self.encode(x))


@harness.model(
    tasks=("reconstruction",),
    metrics=("decoded_distance",),
    training="denoising",
    reference="Hinton, Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 2006; "
    "denoising: Vincent, Larochelle, Bengio, Manzagol, Extracting and composing robust features, ICML 2008; "
    "linear: Baldi, Hornik, Neural networks and principal component analysis, Neural Networks 1989",
)
def autoencoder(
    inputs: Inputs,
    block: Block,
    *,
    form: Annotated[Literal["linear", "dense", "convolutional"], "architecture of f and g"] = "dense",
    code: Annotated[int, Integers(1, 64, log=True), Gt(0), "size of the code"] = 16,
    width: Width = 128,
    depth: Depth = 1,
    channels: Channels = (16, 32),
    denoising: Annotated[
        float, Uniform(0, 1), Interval(ge=0), "standard deviation of the noise on the inputs, in training"
    ] = 0.0,
) -> nn.Module:
    """Autoencoder, optionally denoising.

    With an encoder f: inputs to `[N, code]`, a decoder g back, and ε ~ N(0, 1) in training only:

        x̂ = g(f(x + denoising · ε))

        form=linear: f and g are one affine layer each; the optimum spans the first `code` principal components
        form=dense: `depth` hidden layers on each side
        form=convolutional: stages of stride 2, and transposed convolutions back; for images

    Maps inputs `[N, ...]` to the same shape.

    >>> from harness_components.models.feedforward import relu_block
    >>> model = autoencoder((8,), relu_block, code=2)
    >>> model.encoder(torch.zeros(3, 8)).shape, model(torch.zeros(3, 8)).shape
    (torch.Size([3, 2]), torch.Size([3, 8]))
    """
    if form == "linear":
        sides = linear(inputs, code, code)
    elif form == "dense":
        sides = dense(inputs, code, code, block, width, depth)
    else:
        sides = convolutional(inputs, code, code, block, channels)
    return Autoencoder(*sides, denoising)


class Vae(nn.Module):
    """An encoder to the mean and the log variance of a code, and a decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.latent = encoder, decoder, latent

    def encode(self, x: Tensor) -> Tensor:
        """Map [N, ...] to the means of their codes, [N, latent]."""
        return self.encoder(x).chunk(2, dim=1)[0]

    def decode(self, z: Tensor) -> Tensor:
        """Map codes [N, latent] to [N, ...]."""
        decoded: Tensor = self.decoder(z)
        return decoded

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map [N, ...] to (decoded code of the same shape, μ [N, latent], log σ² [N, latent])."""
        mu, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu) if self.training else mu
        return self.decoder(z), mu, log_variance

    def sample(self, like: Tensor) -> Tensor:
        """Decode as many draws from the prior as `like` has samples, in its dtype."""
        samples: Tensor = self.decoder(torch.randn(len(like), self.latent, dtype=like.dtype, device=like.device))
        return samples


@harness.model(
    tasks=("generation",),
    losses=("elbo",),
    metrics=("decoded_distance",),
    training=True,
    reference="Kingma, Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114",
)
def vae(
    inputs: Inputs,
    block: Block,
    *,
    form: Annotated[Literal["dense", "convolutional"], "architecture of f and g"] = "dense",
    latent: Annotated[int, Integers(1, 64, log=True), Gt(0), "size of the code z"] = 8,
    width: Width = 128,
    depth: Depth = 1,
    channels: Channels = (16, 32),
) -> nn.Module:
    """Variational autoencoder, trained by loss=elbo.

    With an encoder f, a decoder g, ε ~ N(0, 1) in training and ε = 0 in evaluation:

        (μ, log σ²) = f(x)
        z = μ + σ ε
        x̂ = g(z): the mean of x, or the logits of a Bernoulli likelihood

    New samples are g(z) with z ~ N(0, 1). The forms are those of `autoencoder`.

    >>> from harness_components.models.feedforward import relu_block
    >>> decoded, mu, log_variance = vae((8,), relu_block, latent=2)(torch.zeros(3, 8))
    >>> decoded.shape, mu.shape
    (torch.Size([3, 8]), torch.Size([3, 2]))
    """
    if form == "dense":
        sides = dense(inputs, 2 * latent, latent, block, width, depth)
    else:
        sides = convolutional(inputs, 2 * latent, latent, block, channels)
    return Vae(*sides, latent)
