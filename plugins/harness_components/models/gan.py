"""Generative adversarial networks."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Gt
from torch import Tensor, nn

import harness
from harness import Block
from harness.space import Integers
from harness_components.models.autoencoder import Channels, Depth, Inputs, Width, convolutional, dense


class Gan(nn.Module):
    """A generator and a discriminator."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent: int) -> None:
        super().__init__()
        self.generator, self.discriminator, self.latent = generator, discriminator, latent

    def groups(self) -> dict[str, list[str]]:
        """Return the parameter names of each network, {network: names}."""
        names = [name for name, p in self.named_parameters() if p.requires_grad]
        return {player: [n for n in names if n.startswith(f"{player}.")] for player in ("generator", "discriminator")}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map [N, ...] to the discriminator's logits [N] of these inputs, and of as many generated samples."""
        return self.discriminator(x)[:, 0], self.discriminator(self.sample(x))[:, 0]

    def sample(self, like: Tensor) -> Tensor:
        """Generate as many samples as `like` has, in its dtype."""
        samples: Tensor = self.generator(torch.randn(len(like), self.latent, dtype=like.dtype, device=like.device))
        return samples


@harness.model(
    tasks=("generation",),
    losses=("gan",),
    reference="Goodfellow et al., Generative adversarial nets, NeurIPS 2014, arXiv:1406.2661; "
    "convolutional: Radford, Metz, Chintala, DCGAN, ICLR 2016, arXiv:1511.06434",
)
def gan(
    inputs: Inputs,
    block: Block,
    *,
    form: Annotated[Literal["dense", "convolutional"], "architecture of D and G"] = "dense",
    latent: Annotated[int, Integers(1, 64, log=True), Gt(0), "size of the generator's input z"] = 16,
    normalized: Annotated[
        Literal["both", "generator", "discriminator"], "networks that have the normalization"
    ] = "both",
    width: Width = 128,
    depth: Depth = 2,
    channels: Channels = (16, 32),
) -> nn.Module:
    """Generative adversarial network, trained by loss=gan: both networks in every step, each by its own loss.

        samples: G(z), z ~ N(0, 1) of shape [latent]
        D(x): logit that x is real

        form=dense: `depth` hidden layers in each network
        form=convolutional: D has stages of stride 2, G is its mirror image; for images

    >>> from harness_components.models.feedforward import relu_block
    >>> model = gan((8,), relu_block)
    >>> real, fake = model(torch.zeros(3, 8))
    >>> real.shape, fake.shape
    (torch.Size([3]), torch.Size([3]))
    """

    def networks(block: Block) -> tuple[nn.Sequential, nn.Sequential]:
        if form == "dense":
            return dense(inputs, 1, latent, block, width, depth)
        return convolutional(inputs, 1, latent, block, channels)

    discriminator, generator = networks(block)
    if normalized == "generator":
        discriminator, _ = networks(block.without_normalization())
    if normalized == "discriminator":
        _, generator = networks(block.without_normalization())
    return Gan(generator, discriminator, latent)
