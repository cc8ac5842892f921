"""Models that compute a linear function of their inputs, in one layer or in several."""

from __future__ import annotations

import math
from typing import Annotated

from annotated_types import Ge, Gt
from torch import nn

import harness
from harness.space import Integers
from harness_components.models.feedforward import Mlp


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    real_inputs=True,
    initializer="he_normal",
    reference="Cox, The regression analysis of binary sequences, Journal of the Royal Statistical Society B 1958",
)
def logistic(inputs: tuple[int, ...], outputs: int, *, bias: Annotated[bool, "add biases"] = True) -> nn.Module:
    """One linear layer: logistic or softmax regression for classes, linear regression for real targets.

        y = W flatten(x) + b

    y are logits of classes, or real outputs, `[N, outputs]`.

    >>> import torch
    >>> logistic((4,), 3)(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """
    return Mlp(nn.Sequential(), nn.Linear(math.prod(inputs), outputs, bias=bias))


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    real_inputs=True,
    initializer="he_normal",
    reference="Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural "
    "networks, ICLR 2014, arXiv:1312.6120",
)
def deep_linear(
    inputs: tuple[int, ...],
    outputs: int,
    *,
    width: Annotated[int, Integers(8, 1024, log=True), Gt(0), "units of a hidden layer"] = 128,
    depth: Annotated[int, Integers(0, 8), Ge(0), "hidden layers"] = 2,
    bias: Annotated[bool, "add biases"] = True,
) -> nn.Module:
    """Deep linear network: layers without activations, one linear function learned as a product of matrices.

        y = W_{depth+1} ... W_2 W_1 flatten(x) + b

    The product has rank at most min(width, ...). Activation, normalization and the layers of regularizers have no
    effect: there is no hidden block. For the study of learning dynamics.

    >>> import torch
    >>> deep_linear((4,), 3, width=8)(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """
    sizes = [math.prod(inputs), *[width] * depth]
    hidden = nn.Sequential()
    for index in range(depth):
        hidden.add_module(f"layer{index}", nn.Linear(sizes[index], width, bias=bias))
    return Mlp(hidden, nn.Linear(sizes[-1], outputs, bias=bias))
