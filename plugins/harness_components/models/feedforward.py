"""Models: networks built from `block`, which brings normalization, activation and regularizers' layers."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn

import harness
from harness import Block, HarnessError
from harness.space import Choice, Integers


class Residual(nn.Module):
    """A branch that is added to its input."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, ...] -> the same shape."""
        return x + self.branch(x)


class Mlp(nn.Module):
    """Layers from flattened inputs to outputs."""

    def __init__(self, hidden: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.hidden, self.head = hidden, head

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, ...] of any sample shape -> [N, outputs]."""
        return self.head(self.hidden(x.flatten(1)))


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    real_inputs=True,
    reference="Rumelhart, Hinton, Williams, Learning representations by back-propagating errors, Nature 1986",
)
def mlp(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    *,
    width: Annotated[int, Integers(8, 1024, log=True), Gt(0), "units of a hidden layer"] = 128,
    depth: Annotated[int, Integers(0, 8), Ge(0), "hidden layers"] = 2,
    bias: bool = True,
    residual: Annotated[bool, "add each hidden layer but the first to what goes into it"] = False,
) -> nn.Module:
    """Multi-layer perceptron.

    h₀ = flatten(x);  h_i = block(W_i h_{i-1} + b_i) for i = 1 .. depth, or h_i = h_{i-1} + block(W_i h_{i-1} + b_i)
    for i > 1 with `residual`;  y = W h_depth + b.
    """
    size = math.prod(inputs)
    hidden = nn.Sequential()
    at = size
    for index in range(depth):
        layer = nn.Linear(at, block.inputs(width), bias=bias and block.bias)
        inner: nn.Module = nn.Sequential(layer, block(width))
        if residual and index:
            inner = Residual(nn.Sequential(inner, block.branch(index - 1, depth - 1)))
        hidden.add_module(f"layer{index}", inner)
        at = width
    return Mlp(hidden, nn.Linear(at, outputs, bias=bias))


class Cnn(nn.Module):
    """Convolutional stages, the mean over space, a linear head."""

    def __init__(self, stages: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.stages, self.head = stages, head

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, C, H, W] -> [N, outputs]."""
        return self.head(self.stages(x).flatten(1))


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(3,),
    reference="LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998",
)
def cnn(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    *,
    channels: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1), "channels of each stage"] = (16, 32),
    kernel: Annotated[int, Choice(1, 3, 5, 7), Gt(0), "side of the kernels; odd, so that sizes are kept"] = 3,
    pooling: Annotated[Literal["max", "average"], Choice("max", "average"), "what is kept of 2 x 2 pixels"] = "max",
) -> nn.Module:
    """Convolutional network.

    For each stage: convolution (same size), block, pooling by 2 while the image is larger than 3 pixels;
    then the flattened maps go through one linear layer.
    """
    if kernel % 2 == 0:
        raise HarnessError(f"model.kernel must be odd, got {kernel}")
    at, height, width = inputs
    stages = nn.Sequential()
    for index, out in enumerate(channels):
        convolution = nn.Conv2d(at, block.inputs(out), kernel, padding=kernel // 2, bias=block.bias)
        stage = nn.Sequential(convolution, block(out, 2))
        if min(height, width) > 3:
            stage.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
            height, width = height // 2, width // 2
        stages.add_module(f"stage{index}", stage)
        at = out
    return Cnn(stages, nn.Linear(at * height * width, outputs))
