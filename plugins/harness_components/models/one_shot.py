"""Models for few-shot classification: embeddings, and distances to those of a few known samples."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn

import harness
from harness import Block, HarnessError
from harness.space import Choice, Integers
from harness_components.models.feedforward import cnn, mlp

Encoder = Annotated[
    Literal["mlp", "cnn", "identity"], Choice("mlp", "cnn"), "encoder f; cnn for images; identity: raw distances"
]
Code = Annotated[int, Integers(2, 256, log=True), Gt(0), "size of an embedding"]
Width = Annotated[int, Integers(8, 1024, log=True), Gt(0), "mlp: units of each hidden layer"]
Depth = Annotated[int, Integers(0, 4), Ge(0), "mlp: hidden layers"]
Channels = Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1), "cnn: channels of each stage"]
NEAR = 1e-12  # smallest squared distance: the derivative of the root is infinite at 0


def embedding(
    inputs: tuple[int, ...], code: int, block: Block, encoder: str, width: int, depth: int, channels: tuple[int, ...]
) -> nn.Module:
    """Build an encoder [N, *inputs] to [N, code], an `mlp` or a `cnn`; the identity returns the flattened inputs.

    Raises:
        HarnessError: If a cnn is requested for inputs that are not images.
    """
    if encoder == "mlp":
        return mlp(inputs, code, block, width=width, depth=depth)
    if encoder == "identity":
        return nn.Flatten()
    if len(inputs) != 3:
        raise HarnessError(
            f"model.encoder=cnn requires images [C, H, W], and samples have shape {inputs}: choose model.encoder=mlp"
        )
    return cnn(inputs, code, block, channels=channels)


class Prototypical(nn.Module):
    """Represent a class by the mean embedding of its known samples."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, ...] to embeddings [N, code]."""
        z: Tensor = self.encoder(x)
        return z

    def scores(self, support: Tensor, query: Tensor) -> Tensor:
        """Return scores [E, Q, N] of queries [E, Q, D] for the classes of the support set [E, N, K, D]."""
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

    With an encoder f and the support set S_k of class k:

        c_k = mean of f(x') over x' in S_k
        p(k | x) = softmax_k(-|f(x) - c_k|²), over the classes of the episode

    >>> from harness_components.models.feedforward import relu_block
    >>> model = prototypical((8,), relu_block)
    >>> support, query = torch.tensor([[[[0.0]], [[2.0]]]]), torch.tensor([[[0.5]]])
    >>> model.scores(support, query)  # one episode, one query, two classes
    tensor([[[-0.2500, -2.2500]]])
    """
    return Prototypical(embedding(inputs, code, block, encoder, width, depth, channels))


class Siamese(nn.Module):
    """Compare two samples by the distance of their embeddings."""

    def __init__(self, encoder: nn.Module, distance: str) -> None:
        super().__init__()
        self.encoder, self.distance = encoder, distance

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, ...] to embeddings [N, code]."""
        z: Tensor = self.encoder(x)
        return z

    def distances(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distances [...] of embeddings a and b, each [..., D] and broadcast."""
        difference = a - b
        if self.distance == "manhattan":
            return difference.abs().sum(-1)
        return torch.sqrt(difference.square().sum(-1).clamp_min(NEAR))

    def scores(self, support: Tensor, query: Tensor) -> Tensor:
        """Return scores [E, Q, N] of queries [E, Q, D] for the classes of the support set [E, N, K, D]."""
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
    distance: Annotated[
        Literal["euclidean", "manhattan"], Choice("euclidean", "manhattan"), "norm of the distance d"
    ] = "euclidean",
) -> nn.Module:
    """Siamese network: loss=contrastive trains it on pairs, other losses on episodes.

    With an encoder f and the support set S_k of class k:

        d(x, x') = |f(x) - f(x')|
        score(k | x) = -mean of d(x, x') over x' in S_k

    In Koch's network the manhattan distance has weights; here they are part of the encoder's last linear layer.

    >>> from harness_components.models.feedforward import relu_block
    >>> model = siamese((8,), relu_block)
    >>> model.distances(torch.tensor([0.0, 3.0]), torch.tensor([4.0, 0.0]))
    tensor(5.)
    """
    return Siamese(embedding(inputs, code, block, encoder, width, depth, channels), distance)
