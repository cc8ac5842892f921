"""A small transformer that reads a sequence at once."""

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

LEARNED_STD = 0.02  # of positions and the class token at the start, as in Devlin et al. 2018


def sinusoids(length: int, width: int) -> Tensor:
    """[length, width]: at t, sin(t / 10000^(2i / width)) in column 2i, and the cosine of it in column 2i + 1."""
    angle = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]


class Positions(nn.Module):
    """Adds to each step what tells its place."""

    def __init__(self, kind: str, length: int, width: int, generator: Generator) -> None:
        super().__init__()
        self.kind = kind
        if kind == "learned":
            self.table = nn.Parameter(LEARNED_STD * torch.randn(length, width, generator=generator))
        else:
            self.register_buffer("table", sinusoids(length, width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, T, width] -> the same shape."""
        length, known = x.shape[1], len(self.table)
        if length <= known:
            return x + self.table[:length]
        if self.kind == "learned":
            raise HarnessError(
                f"model.positions=learned knows {known} steps, and is given {length}; sinusoidal ones go on"
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
        """x: [N, T, width] -> the same shape."""
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.queries, self.keys, self.values))
        # not torch's fused attention: its kernel has no rule for a stack of members
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)  # [N, heads, T, T]
        return self.out((weights @ v).transpose(1, 2).flatten(2))

    def extra_repr(self) -> str:
        return f"heads={self.heads}"


class Feedforward(nn.Module):
    """Two layers, applied to every step by itself."""

    def __init__(self, width: int, hidden: int, block: Block) -> None:
        super().__init__()
        self.inner = nn.Linear(width, block.inputs(hidden), bias=block.bias)
        self.block = block(hidden)
        self.out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, T, width] -> the same shape."""
        steps = self.inner(x).flatten(0, 1)  # a block takes steps for samples
        return self.out(self.block(steps).unflatten(0, x.shape[:2]))


class Transformer(nn.Module):
    """Embedding, positions, layers of attention, the mean over steps or the class token, a linear head."""

    def __init__(
        self, embedding: nn.Linear, token: Tensor | None, positions: nn.Module, layers: nn.Sequential, head: nn.Linear
    ) -> None:
        super().__init__()
        self.embedding, self.positions, self.layers, self.head = embedding, positions, layers, head
        self.token = None if token is None else nn.Parameter(token)
        self.norm = nn.LayerNorm(embedding.out_features)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, T, C] -> [N, outputs]."""
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
    width: Annotated[int, Choice(16, 32, 64, 128), Gt(0), "numbers of a step, d"] = 32,
    depth: Annotated[int, Integers(1, 6), Ge(1), "layers"] = 2,
    heads: Annotated[int, Choice(1, 2, 4, 8), Gt(0), "of an attention; they divide the width"] = 4,
    hidden: Annotated[int, Integers(16, 512, log=True), Gt(0), "units of a feed-forward block"] = 64,
    positions: Annotated[
        Literal["learned", "sinusoidal", "none"],
        Choice("learned", "sinusoidal", "none"),
        "what tells the order; learned ones end at the training sequences' length",
    ] = "learned",
    pooling: Annotated[
        Literal["average", "token"], Choice("average", "token"), "the mean over steps, or a class token before them"
    ] = "average",
) -> nn.Module:
    """Transformer encoder with layer norms before its branches.

    h = E x + p;  in each layer h ← h + A(LN(h)), then h ← h + F(LN(h));  y = W pool(LN(h)) + b, where
    A(h) = O [softmax(Q K^T / sqrt(d / heads)) V] over heads, with Q, K, V linear in h, and F(h) = W_2 block(W_1 h).
    """
    if width % heads:
        raise HarnessError(f"model.width must be a multiple of model.heads={heads}, got {width}")
    embedding = nn.Linear(inputs[1], width)
    token = LEARNED_STD * torch.randn(1, 1, width, generator=generator) if pooling == "token" else None
    places = nn.Identity() if positions == "none" else Positions(positions, inputs[0], width, generator)
    layers = nn.Sequential()
    for index in range(depth):
        branches = [Attention(width, heads), Feedforward(width, hidden, block)]
        for place, branch in enumerate(branches):
            ended = nn.Sequential(nn.LayerNorm(width), branch, block.branch(2 * index + place, 2 * depth))
            layers.add_module(f"layer{index}_{('attention', 'feedforward')[place]}", Residual(ended))
    return Transformer(embedding, token, places, layers, nn.Linear(width, outputs))
