"""Feed-forward models built from `block`: normalization, activation and the layers of regularizers."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn

import harness
from harness import Block, HarnessError
from harness.space import Choice, Integers

# A block with relu alone, for the examples of the models
relu_block = Block(lambda features: nn.ReLU(), lambda features, ndim: None, [], bias=True)


class Residual(nn.Module):
    """Add a branch to its input."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, ...] to the same shape."""
        return x + self.branch(x)


class Mlp(nn.Module):
    """Hidden layers over flattened inputs, and a linear head."""

    def __init__(self, hidden: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.hidden, self.head = hidden, head

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, ...] to [N, outputs]."""
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
    bias: Annotated[bool, "add biases"] = True,
    residual: Annotated[bool, "add the input of each hidden layer but the first to its output"] = False,
) -> nn.Module:
    """Multi-layer perceptron.

    With depth hidden layers of `width` units:

        h₀ = flatten(x)
        h_i = block(W_i h_{i-1} + b_i), i = 1 .. depth
        h_i = h_{i-1} + block(W_i h_{i-1} + b_i), i > 1, with residual
        y = W h_depth + b

    Takes inputs of any shape, and returns `[N, outputs]`.

    >>> import torch
    >>> mlp((1, 8, 8), 10, relu_block)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """
    hidden = nn.Sequential()
    features = math.prod(inputs)
    for index in range(depth):
        layer = nn.Linear(features, block.inputs(width), bias=bias and block.bias)
        inner: nn.Module = nn.Sequential(layer, block(width))
        if residual and index:
            inner = Residual(nn.Sequential(inner, block.branch(index - 1, depth - 1)))
        hidden.add_module(f"layer{index}", inner)
        features = width
    return Mlp(hidden, nn.Linear(features, outputs, bias=bias))


class Cnn(nn.Module):
    """Convolutional stages over images, and a linear head."""

    def __init__(self, stages: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.stages, self.head = stages, head

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, outputs]."""
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
    kernel: Annotated[int, Choice(1, 3, 5, 7), Gt(0), "side of the kernels, in pixels; odd"] = 3,
    pooling: Annotated[Literal["max", "average"], Choice("max", "average"), "pooling of 2 x 2 pixels"] = "max",
    global_pooling: Annotated[bool, "average each channel over all pixels before the linear layer"] = False,
) -> nn.Module:
    """Convolutional network: stages of convolution, block and pooling, then one linear layer.

    A convolution keeps the size of the image; pooling halves it while it is larger than 3 pixels. Maps images
    `[N, C, H, W]` to `[N, outputs]`. With `global_pooling` the number of parameters does not depend on the size of the
    images, and the linear layer is a kernel of 1 x 1.

    >>> import torch
    >>> cnn((3, 32, 32), 10, relu_block)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    if kernel % 2 == 0:
        raise HarnessError(f"model.kernel must be odd, got {kernel}: choose {kernel - 1} or {kernel + 1}")
    features, height, width = inputs
    stages = nn.Sequential()
    for index, out in enumerate(channels):
        convolution = nn.Conv2d(features, block.inputs(out), kernel, padding=kernel // 2, bias=block.bias)
        stage = nn.Sequential(convolution, block(out, 2))
        if min(height, width) > 3:
            stage.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
            height, width = height // 2, width // 2
        stages.add_module(f"stage{index}", stage)
        features = out
    if global_pooling:
        stages.append(nn.AvgPool2d((height, width)))
        height = width = 1
    return Cnn(stages, nn.Linear(features * height * width, outputs))
