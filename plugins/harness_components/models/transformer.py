"""Transformer encoder for sequences."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Generator, Tensor, nn

import harness
from harness import Block, HarnessError
from harness.space import Choice, Integers
from harness_components.models.feedforward import Residual

LEARNED_STD = 0.02  # initial standard deviation of positions and the class token, as in Devlin et al. 2018


def sinusoids(length: int, width: int) -> Tensor:
    """Return encodings [length, width]: in column 2i sin(t / 10000^(2i / width)), in column 2i + 1 its cosine."""
    angle = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]


class Positions(nn.Module):
    """Add a position encoding to each step."""

    def __init__(self, kind: str, length: int, width: int, generator: Generator) -> None:
        super().__init__()
        self.kind = kind
        if kind == "learned":
            self.table = nn.Parameter(LEARNED_STD * torch.randn(length, width, generator=generator))
        else:
            self.register_buffer("table", sinusoids(length, width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, T, width] to the same shape."""
        length, limit = x.shape[1], len(self.table)
        if length <= limit:
            return x + self.table[:length]
        if self.kind == "learned":
            raise HarnessError(
                f"model.positions=learned takes sequences of at most {limit} steps, got {length}: "
                "choose model.positions=sinusoidal"
            )
        return x + sinusoids(length, x.shape[2]).to(x)

    def extra_repr(self) -> str:
        return self.kind


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries, self.keys, self.values, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, T, width] to the same shape."""
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.queries, self.keys, self.values))
        # not torch's fused attention: its kernel has no batching rule for vmap
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)  # [N, heads, T, T]
        return self.out((weights @ v).transpose(1, 2).flatten(2))

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


class Feedforward(nn.Module):
    """Two layers, applied to each step on its own."""

    def __init__(self, width: int, hidden: int, block: Block) -> None:
        super().__init__()
        self.inner = nn.Linear(width, block.inputs(hidden), bias=block.bias)
        self.block = block(hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, T, width] to the same shape."""
        steps = self.inner(x).flatten(0, 1)  # to a block each step is a sample
        return self.out(self.block(steps).unflatten(0, x.shape[:2]))


class Transformer(nn.Module):
    """Embedding, position encoding, encoder layers, pooling and a linear head."""

    def __init__(
        self, embedding: nn.Linear, token: Tensor | None, positions: nn.Module, layers: nn.Sequential, head: nn.Linear
    ) -> None:
        super().__init__()
        self.embedding, self.positions, self.layers, self.head = embedding, positions, layers, head
        self.token = None if token is None else nn.Parameter(token)
        self.norm = nn.LayerNorm(embedding.out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, T, C] to [N, outputs]."""
        h = self.positions(self.embedding(x))
        if self.token is not None:
            h = torch.cat([self.token.expand(len(h), 1, -1), h], dim=1)
        h = self.norm(self.layers(h))
        return self.head(h.mean(1) if self.token is None else h[:, 0])


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(2,),
    reference="Vaswani et al., Attention is all you need, NeurIPS 2017, arXiv:1706.03762; norms before the branches: "
    "Xiong et al., On layer normalization in the transformer architecture, ICML 2020, arXiv:2002.04745",
)
def transformer(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    generator: Generator,
    *,
    width: Annotated[int, Choice(16, 32, 64, 128), Gt(0), "model width d; a multiple of heads"] = 32,
    depth: Annotated[int, Integers(1, 6), Ge(1), "layers"] = 2,
    heads: Annotated[int, Choice(1, 2, 4, 8), Gt(0), "attention heads"] = 4,
    hidden: Annotated[int, Integers(16, 512, log=True), Gt(0), "hidden units of a feed-forward branch"] = 64,
    positions: Annotated[
        Literal["learned", "sinusoidal", "none"],
        Choice("learned", "sinusoidal", "none"),
        "position encoding p; learned ones are limited to the length of the training sequences",
    ] = "learned",
    pooling: Annotated[
        Literal["average", "token"], Choice("average", "token"), "mean over the steps, or a class token before them"
    ] = "average",
) -> nn.Module:
    """Transformer encoder with pre-layer normalization.

        h = E x + p
        h ← h + A(LN(h)),  h ← h + F(LN(h)), in each layer
        y = W pool(LN(h)) + b

        A(h) = O [softmax(Q Kᵀ / sqrt(d / heads)) V], over the heads, with Q, K, V linear in h
        F(h) = W₂ block(W₁ h)

    Maps sequences `[N, T, C]` to `[N, outputs]`. Memory grows with T².

    >>> from harness_components.models.feedforward import relu_block
    >>> model = transformer((5, 3), 10, relu_block, torch.Generator())
    >>> model(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 10])
    """
    if width % heads:
        raise HarnessError(
            f"model.width must be a multiple of model.heads={heads}, got {width}: choose {heads * (width // heads + 1)}"
        )
    embedding = nn.Linear(inputs[1], width)
    token = LEARNED_STD * torch.randn(1, 1, width, generator=generator) if pooling == "token" else None
    encoding = nn.Identity() if positions == "none" else Positions(positions, inputs[0], width, generator)
    layers = nn.Sequential()
    for index in range(depth):
        branches = [Attention(width, heads), Feedforward(width, hidden, block)]
        for place, branch in enumerate(branches):
            inner = nn.Sequential(nn.LayerNorm(width), branch, block.branch(2 * index + place, 2 * depth))
            layers.add_module(f"layer{index}_{('attention', 'feedforward')[place]}", Residual(inner))
    return Transformer(embedding, token, encoding, layers, nn.Linear(width, outputs))
