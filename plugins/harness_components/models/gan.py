"""Two networks, of which one makes samples and the other tells them from the data's."""

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
        """The parameters of each player."""
        names = [name for name, p in self.named_parameters() if p.requires_grad]
        return {player: [n for n in names if n.startswith(f"{player}.")] for player in ("generator", "discriminator")}

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: [N, ...] -> the logits [N] that these are data, and those of as many samples."""
        return self.discriminator(x)[:, 0], self.discriminator(self.sample(x))[:, 0]

    def sample(self, like: Tensor) -> Tensor:
        """As many samples as `like` has, of their type."""
        made: Tensor = self.generator(torch.randn(len(like), self.latent, dtype=like.dtype, device=like.device))
        return made


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
    form: Literal["dense", "convolutional"] = "dense",
    latent: Annotated[int, Integers(1, 64, log=True), Gt(0), "numbers that a sample is made of"] = 16,
    width: Width = 128,
    depth: Depth = 2,
    channels: Channels = (16, 32),
) -> nn.Module:
    """Generative adversarial networks, trained by `gan`: each player by its own loss, both in every step.

    Samples are G(z) with z ~ N(0, 1) [latent]; D tells the logit that an input is data and no sample. dense: each has
    `depth` hidden layers; convolutional: D has stages of stride 2, and G is its mirror image.
    """
    if form == "dense":
        discriminator, generator = dense(inputs, 1, latent, block, width, depth)
    else:
        discriminator, generator = convolutional(inputs, 1, latent, block, channels)
    return Gan(generator, discriminator, latent)
