"""Models of sequences without a state: convolutions over the steps, and a bag that forgets their order."""

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
    """The mean over the steps, a linear head."""

    def __init__(self, head: nn.Linear) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, T, C] -> [N, outputs]."""
        return self.head(x.mean(1))


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(2,),
    initializer="he_normal",
    reference="Joulin, Grave, Bojanowski, Mikolov, Bag of tricks for efficient text classification, 2016, "
    "arXiv:1607.01759",
)
def bag_of_words(inputs: tuple[int, ...], outputs: int, *, bias: bool = True) -> nn.Module:
    """Linear function of how often each word stands in a sequence, whatever their order.

    y = W (Σ_t x_t / T) + b; with x_t one-hot, the column of W that belongs to a word is its embedding, into the
    outputs at once. Takes sequences of any length.
    """
    return BagOfWords(nn.Linear(inputs[1], outputs, bias=bias))


class PaddedConv1d(nn.Module):
    """A convolution over steps that keeps their number: zeros before them, and behind them too unless it is causal."""

    def __init__(self, channels: int, out: int, kernel: int, dilation: int, bias: bool, causal: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(channels, out, kernel, dilation=dilation, bias=bias)
        reach = (kernel - 1) * dilation
        self.padding = (reach, 0) if causal else (reach // 2, reach - reach // 2)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, T] -> [N, C', T]."""
        return self.convolution(F.pad(x, self.padding))

    def extra_repr(self) -> str:
        return f"padding={self.padding}"


class Conv1d(nn.Module):
    """Convolutions over the steps, their mean or the last of them, a linear head."""

    def __init__(self, layers: nn.Sequential, pooling: str, head: nn.Linear) -> None:
        super().__init__()
        self.layers, self.pooling, self.head = layers, pooling, head

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, T, C] -> [N, outputs]."""
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
    channels: Annotated[int, Integers(8, 256, log=True), Gt(0), "channels of a layer"] = 32,
    depth: Annotated[int, Integers(1, 8), Ge(1), "layers"] = 4,
    kernel: Annotated[int, Integers(2, 9), Ge(1), "steps that a filter sees, k"] = 3,
    dilation: Annotated[int, Choice(1, 2, 3), Ge(1), "of a layer over that of the one before; 1: none, 2: doubled"] = 2,
    padding: Annotated[
        Literal["same", "causal"], Choice("same", "causal"), "causal: no step sees what comes after it"
    ] = "same",
    pooling: Annotated[
        Literal["average", "last"], Choice("average", "last"), "the mean over steps, or the last step"
    ] = "average",
    residual: Annotated[bool, "add each layer but the first to what goes into it"] = False,
) -> nn.Module:
    """Convolutional network over the steps of a sequence, dilated more from layer to layer.

    h⁰ = x;  hˡ_t = block(Σ_j W_j hˡ⁻¹_{t + (j - c) dˡ} + b) with j = 0 .. k - 1, d = dilation, l = 0, 1, ..;  c = k - 1
    if causal and (k - 1) / 2 else;  y = W pool_t(h) + b. What one step of the last layer depends on spans
    1 + (k - 1) Σ_l dˡ steps: with doubled dilation it grows exponentially with depth. Takes sequences of any length.
    """
    layers = nn.Sequential()
    at = inputs[1]
    for index in range(depth):
        wide, causal = block.inputs(channels), padding == "causal"
        layer: nn.Module = nn.Sequential(
            PaddedConv1d(at, wide, kernel, dilation**index, block.bias, causal), block(channels, 1)
        )
        if residual and index:
            layer = Residual(nn.Sequential(layer, block.branch(index - 1, depth - 1)))
        layers.add_module(f"layer{index}", layer)
        at = channels
    return Conv1d(layers, pooling, nn.Linear(at, outputs))
