"""Recurrent networks: a state updated step by step, whose last value is read out."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

import harness
from harness import Block
from harness.space import Integers, Uniform

Width = Annotated[int, Integers(8, 512, log=True), Gt(0), "size of the state h"]
Depth = Annotated[int, Integers(1, 4), Ge(1), "recurrent layers, stacked"]
Readout = Annotated[int, Integers(0, 2), Ge(0), "hidden layers between the last state and the outputs"]


class Recurrent(nn.Module):
    """Recurrent layers over the steps, then hidden layers and a linear head on the last state."""

    def __init__(self, cell: nn.RNNBase, hidden: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.cell, self.hidden, self.head = cell, hidden, head

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, T, C] to [N, outputs]."""
        states, _ = self.cell(x)
        return self.head(self.hidden(states[:, -1]))


def _with_readout(cell: nn.RNNBase, outputs: int, block: Block, readout: int) -> nn.Module:
    width = cell.hidden_size
    hidden = nn.Sequential()
    for index in range(readout):
        hidden.add_module(
            f"layer{index}", nn.Sequential(nn.Linear(width, block.inputs(width), bias=block.bias), block(width))
        )
    return Recurrent(cell, hidden, nn.Linear(width, outputs))


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(2,),
    reference="Elman, Finding structure in time, Cognitive Science 1990",
)
def rnn(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    *,
    width: Width = 64,
    depth: Depth = 1,
    readout: Readout = 0,
) -> nn.Module:
    """Elman recurrent network.

        h_t = tanh(W x_t + b + U h_{t-1} + c),  h_0 = 0
        y = V h_T + d

    With `readout` > 0, hidden layers with blocks come between h_T and y: only they use the activation, the
    normalization and the layers of regularizers. Maps sequences `[N, T, C]` of any length to `[N, outputs]`. Gradients
    vanish over many steps: see `lstm` and `gru`.

    >>> from harness_components.models.feedforward import relu_block
    >>> rnn((5, 3), 10, relu_block)(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 10])
    """
    return _with_readout(nn.RNN(inputs[1], width, depth, batch_first=True), outputs, block, readout)


class Lstm(nn.LSTM):
    """LSTM of torch with a constant added to the bias of the forget gate.

    The constant is a buffer and not the initial value of the bias, which an initializer would overwrite.
    """

    shift: Tensor

    def __init__(self, inputs: int, width: int, depth: int, forget_bias: float) -> None:
        super().__init__(inputs, width, depth, batch_first=True)
        gates = torch.zeros(4, width)  # in torch's order: input, forget, cell, output
        gates[1] = forget_bias
        self.register_buffer("shift", gates.flatten(), persistent=False)

    def forward(self, x: Tensor, hx: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        """Map [N, T, C] to (states [N, T, width], (last states, last cells) [depth, N, width])."""
        if hx is None:
            start = x.new_zeros(self.num_layers, len(x), self.hidden_size)
            hx = (start, start)
        weights = []
        for input_weight, state_weight, input_bias, state_bias in self.all_weights:
            weights += [input_weight, state_weight, input_bias + self.shift, state_bias]
        states, last, cells = torch.lstm(x, hx, weights, True, self.num_layers, 0.0, self.training, False, True)
        return states, (last, cells)


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(2,),
    reference="Hochreiter, Schmidhuber, Long short-term memory, Neural Computation 1997; forget gates and their bias: "
    "Gers, Schmidhuber, Cummins, Learning to forget, Neural Computation 2000",
)
def lstm(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    *,
    width: Width = 64,
    depth: Depth = 1,
    forget_bias: Annotated[
        float, Uniform(0, 5), "added to the bias of the forget gate, which starts open above 0"
    ] = 1.0,
    readout: Readout = 0,
) -> nn.Module:
    """Long short-term memory (LSTM) with forget gates.

        i, f, o = σ(W x_t + b + U h_{t-1} + c), each with its own W, b, U, c; forget_bias is added to the b of f
        g = tanh(W x_t + b + U h_{t-1} + c)
        c_t = f c_{t-1} + i g
        h_t = o tanh(c_t),  h_0 = c_0 = 0
        y = V h_T + d

    With `readout` > 0, hidden layers with blocks come between h_T and y: only they use the activation, the
    normalization and the layers of regularizers. Maps sequences `[N, T, C]` of any length to `[N, outputs]`.

    >>> from harness_components.models.feedforward import relu_block
    >>> lstm((5, 3), 10, relu_block)(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 10])
    """
    return _with_readout(Lstm(inputs[1], width, depth, forget_bias), outputs, block, readout)


@harness.model(
    tasks=("classification", "regression", "binary_classification", "multilabel"),
    input_ndim=(2,),
    reference="Cho et al., Learning phrase representations using RNN encoder-decoder for statistical machine "
    "translation, EMNLP 2014, arXiv:1406.1078",
)
def gru(
    inputs: tuple[int, ...],
    outputs: int,
    block: Block,
    *,
    width: Width = 64,
    depth: Depth = 1,
    readout: Readout = 0,
) -> nn.Module:
    """Gated recurrent unit (GRU).

        r, z = σ(W x_t + b + U h_{t-1} + c), each with its own W, b, U, c
        n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + c_n))
        h_t = (1 - z) n + z h_{t-1},  h_0 = 0
        y = V h_T + d

    With `readout` > 0, hidden layers with blocks come between h_T and y: only they use the activation, the
    normalization and the layers of regularizers. Maps sequences `[N, T, C]` of any length to `[N, outputs]`.

    >>> from harness_components.models.feedforward import relu_block
    >>> gru((5, 3), 10, relu_block)(torch.zeros(2, 5, 3)).shape
    torch.Size([2, 10])
    """
    return _with_readout(nn.GRU(inputs[1], width, depth, batch_first=True), outputs, block, readout)
