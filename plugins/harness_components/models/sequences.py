"""Models of sequences without a state: convolutions over the steps, and a bag of words."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

import harness
from harness import Block
from harness.space import Choice, Integers
from harness_components.models.feedforward import Residual


class BagOfWords(nn.Module):
    """Mean over the steps, and a linear head."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, T, C] to [N, outputs]."""
        return self.head(x.mean(1))


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(2,),
    initializer="he_normal",
    reference="Joulin, Grave, Bojanowski, Mikolov, Bag of tricks for efficient text classification, 2016, "
    "arXiv:1607.01759",
)
def bag_of_words(inputs: tuple[int, ...], outputs: int, *, bias: Annotated[bool, "add biases"] = True) -> nn.Module:
    """Bag of words: a linear function of the word frequencies in a sequence, whatever their order.

        y = W (Σ_t x_t / T) + b

    With one-hot x_t the columns of W are the words' embeddings, straight into the outputs. Maps sequences `[N, T, C]`
    of any length to `[N, outputs]`.

    >>> import torch
    >>> bag_of_words((5, 20), 2)(torch.zeros(3, 5, 20)).shape
    torch.Size([3, 2])
    """
    return BagOfWords(nn.Linear(inputs[1], outputs, bias=bias))


class PaddedConv1d(nn.Module):
    """Convolution that keeps the number of steps by zeros before them and, unless causal, after them."""

    def __init__(self, channels: int, out: int, kernel: int, dilation: int, bias: bool, causal: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, out, kernel, dilation=dilation, bias=bias)
        total = (kernel - 1) * dilation
        self.padding = (total, 0) if causal else (total // 2, total - total // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, T] to [N, C', T]."""
        return self.convolution(F.pad(x, self.padding))

    def extra_repr(self) -> str:
        return f"padding={self.padding}"


class Conv1d(nn.Module):
    """Convolutions over the steps, pooling over the steps, and a linear head."""

    def __init__(self, layers: nn.Sequential, pooling: str, head: nn.Linear) -> None:
        super().__init__()
        self.layers, self.pooling, self.head = layers, pooling, head

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, T, C] to [N, outputs]."""
        h = self.layers(x.mT)
        return self.head(h.mean(2) if self.pooling == "average" else h[:, :, -1])


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(2,),
    reference="van den Oord et al., WaveNet, 2016, arXiv:1609.03499, section 2.1; Bai, Kolter, Koltun, An empirical "
    "evaluation of generic convolutional and recurrent networks for sequence modeling, 2018, arXiv:1803.01271",
)
def conv1d(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    *,
    channels: Annotated[int, Integers(8, 256, log=True), Gt(0), "channels of each layer"] = 32,
    depth: Annotated[int, Integers(1, 8), Ge(1), "convolutional layers"] = 4,
    kernel: Annotated[int, Integers(2, 9), Ge(1), "kernel size k, in steps"] = 3,
    dilation: Annotated[int, Choice(1, 2, 3), Ge(1), "factor d of the dilation from layer to layer; 1: none"] = 2,
    padding: Annotated[
        Literal["same", "causal"], Choice("same", "causal"), "causal: a step does not depend on later ones"
    ] = "same",
    pooling: Annotated[
        Literal["average", "last"], Choice("average", "last"), "mean over the steps, or the last step"
    ] = "average",
    residual: Annotated[bool, "add the input of each layer but the first to its output"] = False,
) -> nn.Module:
    """Convolutional network over the steps of a sequence, with growing dilation.

    For layer l = 0, 1, ..., with k = `kernel`, d = `dilation`, c = k - 1 if causal and else (k - 1) / 2:

        h⁰ = x
        hˡ⁺¹_t = block(Σ_j W_j hˡ_{t + (j - c) dˡ} + b),  j = 0 .. k - 1
        y = W pool_t(h) + b

    The receptive field is 1 + (k - 1) Σ_l dˡ steps: with d = 2 it grows exponentially with depth. Maps sequences
    `[N, T, C]` of any length to `[N, outputs]`.

    >>> import torch
    >>> from harness_components.models.feedforward import relu_block
    >>> conv1d((5, 3), 10, relu_block)(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 10])
    """
    layers = nn.Sequential()
    features = inputs[1]
    for index in range(depth):
        width, causal = block.inputs(channels), padding == "causal"
        layer: nn.Module = nn.Sequential(
            PaddedConv1d(features, width, kernel, dilation**index, block.bias, causal), block(channels, 1)
        )
        if residual and index:
            layer = Residual(nn.Sequential(layer, block.branch(index - 1, depth - 1)))
        layers.add_module(f"layer{index}", layer)
        features = channels
    return Conv1d(layers, pooling, nn.Linear(features, outputs))
