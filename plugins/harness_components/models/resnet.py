"""Residual networks for images."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen
from torch import Tensor, nn
from torch.nn import functional as F

import harness
from harness import Block
from harness.space import Choice, Integers


class IdentityShortcut(nn.Module):
    """Keep every `stride`-th pixel and append channels of zeros; has no parameters."""

    def __init__(self, channels: int, more: int, stride: int) -> None:
        super().__init__()
        self.channels, self.more, self.stride = channels, more, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C + more, ⌈H / stride⌉, ⌈W / stride⌉]."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.more)) if self.more > 0 else x[:, : self.channels + self.more]

    def extra_repr(self) -> str:
        return f"{self.channels}, {self.channels + self.more}, stride={self.stride}"


class Shortcut(nn.Module):
    """Add a branch to a shortcut past it."""

    def __init__(self, branch: nn.Module, past: nn.Module) -> None:
        super().__init__()
        self.branch, self.past = branch, past

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', H', W']."""
        return self.past(x) + self.branch(x)


class Resnet(nn.Module):
    """Stem, residual blocks, global average pooling and a linear head."""

    def __init__(self, stem: nn.Module, blocks: nn.Sequential, last: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.stem, self.blocks, self.last, self.head = stem, blocks, last, head

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, outputs]."""
        return self.head(self.last(self.blocks(self.stem(x))).mean((2, 3)))


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(3,),
    reference="He, Zhang, Ren, Sun, Identity mappings in deep residual networks, ECCV 2016, arXiv:1603.05027; sizes "
    "and shortcuts as in Deep residual learning for image recognition, CVPR 2016, arXiv:1512.03385, section 4.2",
)
def resnet(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    *,
    channels: Annotated[tuple[Annotated[int, Gt(0)], ...], MinLen(1), "channels of each stage"] = (16, 32, 64),
    blocks: Annotated[
        int, Integers(1, 9), Ge(1), "residual blocks in each stage, n; three stages have 6n + 2 layers"
    ] = 1,
    shortcut: Annotated[
        Literal["identity", "projection"],
        Choice("identity", "projection"),
        "shortcut where the shape changes: zero padding (A in the paper), or a learned 1 x 1 convolution (B)",
    ] = "identity",
) -> nn.Module:
    """Residual network of pre-activation basic blocks, in the layout for CIFAR.

        h ← conv3x3(x)
        h ← shortcut(h) + conv3x3(block(conv3x3(block(h)))), for each residual block
        y = W mean(block(h)) + b, with the mean over height and width

    The first residual block of every stage but the first halves the image by a stride of 2. Maps images `[N, C, H, W]`
    to `[N, outputs]`.

    >>> import torch
    >>> from harness_components.models.feedforward import relu_block
    >>> model = resnet((3, 32, 32), 10, relu_block, channels=(4, 8))
    >>> model(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    stages = list(enumerate(channels))
    depth = len(stages) * blocks
    features = channels[0]
    stem = nn.Conv2d(inputs[0], block.inputs(features), 3, padding=1, bias=block.bias)
    body = nn.Sequential()
    for stage, out in stages:
        for index in range(blocks):
            stride = 2 if stage and not index else 1
            # the residual stream is the input of a block, and as wide as that requires
            width, new_width = block.inputs(features), block.inputs(out)
            branch = nn.Sequential(
                block(features, 2),
                nn.Conv2d(features, new_width, 3, stride=stride, padding=1, bias=block.bias),
                block(out, 2),
                nn.Conv2d(out, new_width, 3, padding=1, bias=block.bias),
                block.branch(stage * blocks + index, depth),
            )
            past: nn.Module = nn.Identity()
            if stride > 1 or width != new_width:
                past = (
                    nn.Conv2d(width, new_width, 1, stride=stride, bias=False)
                    if shortcut == "projection"
                    else IdentityShortcut(width, new_width - width, stride)
                )
            body.add_module(f"stage{stage}block{index}", Shortcut(branch, past))
            features = out
    return Resnet(stem, body, block(features, 2), nn.Linear(features, outputs))
