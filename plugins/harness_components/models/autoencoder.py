"""Models that write an input down as a short code and read it again: autoencoders, and those that draw the code."""

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
Width = Annotated[int, Integers(8, 1024, log=True), Gt(0), "of dense: units of a hidden layer"]
Depth = Annotated[int, Integers(1, 4), Ge(0), "of dense: hidden layers on each side of the code"]
Channels = Annotated[
    tuple[Annotated[int, Gt(0)], ...], MinLen(1), "of convolutional: channels of each stage, which halves the image"
]


def linear(inputs: Inputs, into: int, code: int) -> tuple[nn.Sequential, nn.Sequential]:
    """One layer [N, *inputs] -> [N, into], and one [N, code] -> [N, *inputs]."""
    size = math.prod(inputs)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, into))
    return encoder, nn.Sequential(nn.Linear(code, size), nn.Unflatten(1, inputs))


def dense(
    inputs: Inputs, into: int, code: int, block: Block, width: int, depth: int
) -> tuple[nn.Sequential, nn.Sequential]:
    """Hidden layers and a linear one [N, *inputs] -> [N, into], and the same back from [N, code]."""

    def layers(at: int, out: int) -> nn.Sequential:
        made = nn.Sequential()
        for index in range(depth):
            layer = nn.Linear(at, block.inputs(width), bias=block.bias)
            made.add_module(f"layer{index}", nn.Sequential(layer, block(width)))
            at = width
        made.add_module("head", nn.Linear(at, out))
        return made

    size = math.prod(inputs)
    encoder, decoder = layers(size, into), layers(code, size)
    return nn.Sequential(nn.Flatten(), *encoder), nn.Sequential(*decoder, nn.Unflatten(1, inputs))


def convolutional(
    inputs: Inputs, into: int, code: int, block: Block, channels: tuple[int, ...]
) -> tuple[nn.Sequential, nn.Sequential]:
    """Stages of stride 2 and a linear layer [N, C, H, W] -> [N, into], and their mirror image from [N, code]."""
    if len(inputs) != 3:
        raise HarnessError(f"model.form=convolutional wants images [C, H, W], and samples have shape {inputs}")
    at, *size = inputs
    encoder, stages = nn.Sequential(), []
    for out in channels:
        layer = nn.Conv2d(at, block.inputs(out), 3, stride=2, padding=1, bias=block.bias)
        encoder.append(nn.Sequential(layer, block(out, 2)))
        stages.append((out, at, size))
        at, size = out, [(side + 1) // 2 for side in size]
    flat = at * math.prod(size)
    encoder.extend([nn.Flatten(), nn.Linear(flat, into)])
    wide = block.inputs(at)
    decoder = nn.Sequential(
        nn.Linear(code, wide * math.prod(size), bias=block.bias), nn.Unflatten(1, (wide, *size)), block(at, 2)
    )
    for index, (at, out, size) in reversed(list(enumerate(stages))):
        extra = (1 - size[0] % 2, 1 - size[1] % 2)  # of an even side, 2 · half - 1 is one too few
        wide, bias = (out, True) if index == 0 else (block.inputs(out), block.bias)
        decoder.append(nn.ConvTranspose2d(at, wide, 3, stride=2, padding=1, output_padding=extra, bias=bias))
        if index:
            decoder.append(block(out, 2))
    return encoder, decoder


class Autoencoder(nn.Module):
    """An encoder and a decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, denoising: float) -> None:
        super().__init__()
        self.encoder, self.decoder, self.denoising = encoder, decoder, denoising

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, ...] -> the same shape; in training, of inputs with noise."""
        if self.training and self.denoising:
            x = x + self.denoising * torch.randn_like(x)
        decoded: Tensor = self.decoder(self.encoder(x))
        return decoded


@harness.model(
    tasks=("reconstruction",),
    training="denoising",
    reference="Hinton, Salakhutdinov, Reducing the dimensionality of data with neural networks, Science 2006; "
    "denoising: Vincent, Larochelle, Bengio, Manzagol, Extracting and composing robust features, ICML 2008; "
    "linear: Baldi, Hornik, Neural networks and principal component analysis, Neural Networks 1989",
)
def autoencoder(
    inputs: Inputs,
    block: Block,
    *,
    form: Literal["linear", "dense", "convolutional"] = "dense",
    code: Annotated[int, Integers(1, 64, log=True), Gt(0), "numbers in a code"] = 16,
    width: Width = 128,
    depth: Depth = 1,
    channels: Channels = (16, 32),
    denoising: Annotated[
        float, Uniform(0, 1), Interval(ge=0), "deviation of the noise that training adds to the inputs, not to targets"
    ] = 0.0,
) -> nn.Module:
    """Autoencoder.

    x̂ = g(f(x + denoising · ε)) with f: inputs -> [N, code], g: [N, code] -> inputs and ε ~ N(0, 1), in training only.
    linear: f and g are one affine layer each, and the best ones span the first `code` principal components;
    dense: `depth` hidden layers on either side; convolutional: stages of stride 2, and transposed ones back.
    """
    if form == "linear":
        sides = linear(inputs, code, code)
    elif form == "dense":
        sides = dense(inputs, code, code, block, width, depth)
    else:
        sides = convolutional(inputs, code, code, block, channels)
    return Autoencoder(*sides, denoising)


class Vae(nn.Module):
    """An encoder to the mean and the logarithm of the variance of a code, and a decoder."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.latent = encoder, decoder, latent

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x: [N, ...] -> the decoded code of the same shape, μ [N, latent], log σ² [N, latent]."""
        mu, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * log_variance) * torch.randn_like(mu) if self.training else mu
        return self.decoder(z), mu, log_variance

    def sample(self, like: Tensor) -> Tensor:
        """As many decoded draws from the prior as `like` has samples, of their type."""
        drawn: Tensor = self.decoder(torch.randn(len(like), self.latent, dtype=like.dtype, device=like.device))
        return drawn


@harness.model(
    tasks=("generation",),
    losses=("elbo",),
    training=True,
    reference="Kingma, Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114",
)
def vae(
    inputs: Inputs,
    block: Block,
    *,
    form: Literal["dense", "convolutional"] = "dense",
    latent: Annotated[int, Integers(1, 64, log=True), Gt(0), "numbers in a code"] = 8,
    width: Width = 128,
    depth: Depth = 1,
    channels: Channels = (16, 32),
) -> nn.Module:
    """Variational autoencoder, trained by `elbo`.

    (μ, log σ²) = f(x);  z = μ + σ ε with ε ~ N(0, 1) in training, z = μ in evaluation;  g(z) is the mean of x, or the
    logits of a bernoulli likelihood. New samples are g(z) of z ~ N(0, 1). The forms are those of `autoencoder`.
    """
    if form == "dense":
        sides = dense(inputs, 2 * latent, latent, block, width, depth)
    else:
        sides = convolutional(inputs, 2 * latent, latent, block, channels)
    return Vae(*sides, latent)
