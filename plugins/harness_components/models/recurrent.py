"""Recurrent networks: a state that is updated step by step, of which the last one is read."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn

import harness
from harness import Block
from harness.space import Integers, Uniform

Width = Annotated[int, Integers(8, 512, log=True), Gt(0), "numbers of a state"]
Depth = Annotated[int, Integers(1, 4), Ge(1), "recurrent layers, each over the states of the one below"]
Readout = Annotated[int, Integers(0, 2), Ge(0), "hidden layers between the last state and the outputs"]


class Recurrent(nn.Module):
    """Recurrent layers over the steps, hidden layers and a linear head on the last state."""

    def __init__(self, cell: nn.RNNBase, hidden: nn.Sequential, head: nn.Linear) -> None:
        super().__init__()
        self.cell, self.hidden, self.head = cell, hidden, head

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, T, C] -> [N, outputs]."""
        states, _ = self.cell(x)
        return self.head(self.hidden(states[:, -1]))


def _read(cell: nn.RNNBase, outputs: int, block: Block, readout: int) -> nn.Module:
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
    """Elman's recurrent network.

    h_t = tanh(W x_t + b + U h_{t-1} + c), h_0 = 0;  y = V h_T + d, after `readout` blocks on h_T. Activation,
    normalization and regularizers' layers stand in those blocks alone. Takes sequences of any length.
    """
    return _read(nn.RNN(inputs[1], width, depth, batch_first=True), outputs, block, readout)


class Lstm(nn.LSTM):
    """Torch's, with a constant added to the bias of the forget gate.

    It is no initial value of that bias, which an initializer would overwrite.
    """

    shift: Tensor

    def __init__(self, inputs: int, width: int, depth: int, forget_bias: float) -> None:
        super().__init__(inputs, width, depth, batch_first=True)
        gates = torch.zeros(4, width)  # in torch's order: input, forget, cell, output
        gates[1] = forget_bias
        self.register_buffer("shift", gates.flatten(), persistent=False)

    def forward(self, x: Tensor, hx: Any = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:  # type: ignore[override]
        """x: [N, T, C] -> (states [N, T, width], (last states, last cells) [depth, N, width])."""
        if hx is None:
            start = x.new_zeros(self.num_layers, len(x), self.hidden_size)
            hx = (start, start)
        weights = []
        for of_input, of_state, bias_of_input, bias_of_state in self.all_weights:
            weights += [of_input, of_state, bias_of_input + self.shift, bias_of_state]
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
    forget_bias: Annotated[float, Uniform(0, 5), "added to the forget gate's bias: above 0, it starts out open"] = 1.0,
    readout: Readout = 0,
) -> nn.Module:
    """Long short-term memory with forget gates.

    i, f, g, o = σ, σ, tanh, σ of (W x_t + b + U h_{t-1} + c), and f with `forget_bias` added to b;
    c_t = f c_{t-1} + i g;  h_t = o tanh(c_t), h_0 = c_0 = 0;  y = V h_T + d, after `readout` blocks on h_T. Activation,
    normalization and regularizers' layers stand in those blocks alone. Takes sequences of any length.
    """
    return _read(Lstm(inputs[1], width, depth, forget_bias), outputs, block, readout)


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
    """Gated recurrent unit.

    r, z = σ(W x_t + b + U h_{t-1} + c);  n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + c_n));
    h_t = (1 - z) n + z h_{t-1}, h_0 = 0;  y = V h_T + d, after `readout` blocks on h_T. Activation, normalization and
    regularizers' layers stand in those blocks alone. Takes sequences of any length.
    """
    return _read(nn.GRU(inputs[1], width, depth, batch_first=True), outputs, block, readout)
