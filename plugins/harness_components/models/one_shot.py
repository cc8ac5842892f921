"""Models that embed samples, and tell classes apart by the distances of embeddings from those of few known samples."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn

import harness
from harness import Block, HarnessError
from harness.space import Choice, Integers
from harness_components.models.feedforward import cnn, mlp

Encoder = Annotated[Literal["mlp", "cnn"], "what embeds a sample; cnn: images"]
Code = Annotated[int, Integers(2, 256, log=True), Gt(0), "numbers in an embedding"]
Width = Annotated[int, Integers(8, 1024, log=True), Gt(0), "of mlp: units of a hidden layer"]
Depth = Annotated[int, Integers(0, 4), Ge(0), "of mlp: hidden layers"]
Channels = Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1), "of cnn: channels of each stage"]
NEAR = 1e-12  # squared distance below which two embeddings are one: the root has no slope at 0


def embedding(
    inputs: tuple[int, ...], code: int, block: Block, encoder: str, width: int, depth: int, channels: tuple[int, ...]
) -> nn.Module:
    """A network [N, *inputs] -> [N, code], as `mlp` or `cnn` is."""
    if encoder == "mlp":
        return mlp(inputs, code, block, width=width, depth=depth)
    if len(inputs) != 3:
        raise HarnessError(f"model.encoder=cnn wants images [C, H, W], and samples have shape {inputs}")
    return cnn(inputs, code, block, channels=channels)


class Prototypical(nn.Module):
    """Classes are where their samples are in the mean."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, ...] -> embeddings [N, code]."""
        z: Tensor = self.encoder(x)
        return z

    def scores(self, support: Tensor, query: Tensor) -> Tensor:
        """support [E, N, K, D], query [E, Q, D] -> [E, Q, N]."""
        prototypes = support.mean(2)
        return -(query[:, :, None] - prototypes[:, None]).square().sum(-1)


@harness.model(
    tasks=("one_shot",),
    real_inputs=True,
    reference="Snell, Swersky, Zemel, Prototypical networks for few-shot learning, NeurIPS 2017, arXiv:1703.05175",
)
def prototypical(
    inputs: tuple[int, ...],
    block: Block,
    *,
    encoder: Encoder = "mlp",
    code: Code = 64,
    width: Width = 128,
    depth: Depth = 2,
    channels: Channels = (16, 32),
) -> nn.Module:
    """Prototypical network.

    c_k = mean of f(x) over the known samples x of class k;  the score of class k for a query x is -|f(x) - c_k|², and
    p(k | x) the softmax of these over the classes of the episode. f is an `mlp` or a `cnn` with `code` outputs.
    """
    return Prototypical(embedding(inputs, code, block, encoder, width, depth, channels))


class Siamese(nn.Module):
    """Two samples go through one network, and are told by their distance."""

    def __init__(self, encoder: nn.Module, distance: str) -> None:
        super().__init__()
        self.encoder, self.distance = encoder, distance

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, ...] -> embeddings [N, code]."""
        z: Tensor = self.encoder(x)
        return z

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        """Of embeddings a and b, [..., D] each, which broadcast -> [...]."""
        difference = a - b
        if self.distance == "manhattan":
            return difference.abs().sum(-1)
        return torch.sqrt(difference.square().sum(-1).clamp_min(NEAR))

    def scores(self, support: Tensor, query: Tensor) -> Tensor:
        """support [E, N, K, D], query [E, Q, D] -> [E, Q, N]."""
        return -self.distances(query[:, :, None, None], support[:, None]).mean(-1)


@harness.model(
    tasks=("one_shot",),
    real_inputs=True,
    losses=("contrastive",),
    reference="Bromley, Guyon, LeCun, Säckinger, Shah, Signature verification using a siamese time delay neural "
    "network, NIPS 1993; one-shot: Koch, Zemel, Salakhutdinov, Siamese neural networks for one-shot image recognition, "
    "ICML deep learning workshop 2015",
)
def siamese(
    inputs: tuple[int, ...],
    block: Block,
    *,
    encoder: Encoder = "mlp",
    code: Code = 64,
    width: Width = 128,
    depth: Depth = 2,
    channels: Channels = (16, 32),
    distance: Annotated[Literal["euclidean", "manhattan"], Choice("euclidean", "manhattan")] = "euclidean",
) -> nn.Module:
    """Siamese network, trained by `contrastive` on pairs of one class and of two; another loss trains its episodes.

    d(x, x') = |f(x) - f(x')|, the sum of the differences' sizes with `manhattan` (whose weights in Koch's network are
    here a part of the last, linear layer);  the score of class k for a query is minus the mean of its distances from
    the known samples of class k. f is an `mlp` or a `cnn` with `code` outputs.
    """
    return Siamese(embedding(inputs, code, block, encoder, width, depth, channels), distance)
