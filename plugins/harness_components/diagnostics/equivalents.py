"""Diagnostics that compare a trained model with another form of it: dense matrices, and the mean over its noise."""

from __future__ import annotations

import copy
import functools
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.nn import functional as F

import harness
from harness import Dataset, Diagnostic, Samples
from harness.space import Integers

PROBE = 64  # validation samples, at most


def convolution_matrix(layer: nn.Conv2d | nn.AvgPool2d, inputs: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """Return the matrix of a linear layer of images, from its definition, and the shape of an output.

    Args:
        layer: A convolution with zeros as padding, or a pooling by the mean.
        inputs: Shape of an input, (C, H, W).

    Returns:
        Matrix [C' · H' · W', C · H · W], and (C', H', W').

    >>> kernel = nn.Conv2d(1, 1, (1, 2), bias=False)
    >>> kernel.weight.data = torch.tensor([[[[3.0, 5.0]]]])
    >>> convolution_matrix(kernel, (1, 1, 3))[0]
    tensor([[3., 5., 0.],
            [0., 3., 5.]])
    """
    channels, *size = inputs
    if isinstance(layer, nn.Conv2d):
        weight, groups = layer.weight.detach(), layer.groups
        stride, padding, dilation = layer.stride, layer.padding, layer.dilation
        assert not isinstance(padding, str)
    else:
        stride, padding, dilation = _pair(layer.stride), _pair(layer.padding), (1, 1)
        kernel = _pair(layer.kernel_size)
        weight, groups = torch.full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]), dtype=torch.float64), channels
    out, each = weight.shape[:2]
    places = []  # for each axis, the triples (output, kernel, input) of places that meet
    shape = [out]
    for axis in (0, 1):
        side = weight.shape[2 + axis]
        length = (size[axis] + 2 * padding[axis] - dilation[axis] * (side - 1) - 1) // stride[axis] + 1
        shape.append(length)
        step, first, apart = stride[axis], -padding[axis], dilation[axis]
        triples = [(o, k, first + o * step + k * apart) for o in range(length) for k in range(side)]
        places.append([(o, k, i) for o, k, i in triples if 0 <= i < size[axis]])
    matrix = weight.new_zeros(*shape, channels, *size)
    for o in range(out):
        first = o // (out // groups) * each  # of the input channels of the group
        for y, a, row in places[0]:
            for x, b, column in places[1]:
                matrix[o, y, x, first : first + each, row, column] += weight[o, :, a, b]
    return matrix.flatten(3).flatten(0, 2), tuple(shape)


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


class Dense(nn.Module):
    """A linear layer of images as a matrix."""

    def __init__(self, matrix: Tensor, bias: Tensor | None, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.matrix, self.shape = matrix, shape
        self.bias = None if bias is None else bias.detach().repeat_interleave(shape[1] * shape[2])

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, C', H', W']."""
        return F.linear(x.flatten(1), self.matrix, self.bias).unflatten(1, self.shape)


def _is_linear(module: nn.Module) -> bool:
    if isinstance(module, nn.AvgPool2d):
        return _pair(module.padding) == (0, 0) and not module.ceil_mode and module.divisor_override is None
    return isinstance(module, nn.Conv2d) and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _layer_matrix(model: nn.Module, dataset: Dataset) -> dict[str, Tensor]:
    if not isinstance(dataset.val, Samples) or dataset.val.x.ndim != 4:
        return {}
    model, x = copy.deepcopy(model).double(), dataset.val.x[:PROBE].double()
    inputs: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        inputs[name] = args[0], output

    named = {name: module for name, module in model.named_modules() if _is_linear(module)}
    handles = [module.register_forward_hook(functools.partial(keep, name)) for name, module in named.items()]
    with torch.no_grad():
        whole = model(x)
    for handle in handles:
        handle.remove()
    deviations: dict[str, Tensor] = {}
    for name, (x_in, output) in inputs.items():
        module = named[name]
        assert isinstance(module, nn.Conv2d | nn.AvgPool2d)
        dense = Dense(*_with_bias(module, tuple(x_in.shape[1:])))
        deviations[name] = _deviation(dense(x_in), output)
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, dense)
    if not deviations:
        return {}
    with torch.no_grad():
        return {"model": _deviation(model(x), whole)} | deviations


def _with_bias(
    module: nn.Conv2d | nn.AvgPool2d, inputs: tuple[int, ...]
) -> tuple[Tensor, Tensor | None, tuple[int, ...]]:
    matrix, shape = convolution_matrix(module, inputs)
    return matrix, getattr(module, "bias", None), shape


def _deviation(a: Tensor, b: Tensor) -> Tensor:
    """Return the largest difference relative to the largest magnitude of b."""
    return (a - b).abs().amax() / b.abs().amax().clamp_min(1e-30)


@harness.diagnostic(
    reference="Goodfellow, Bengio, Courville, Deep Learning, MIT Press 2016, section 9.1: a convolution is a doubly "
    "block circulant matrix, with padding a Toeplitz one"
)
def layer_matrix() -> Diagnostic:
    """Difference between each convolution of images and the dense matrix that it equals, in float64.

    The matrix is built from the kernel by definition: most of its entries are zero, and the others are shared.

        max |conv(x) - (M x + b)| / max |conv(x)|

    `model`: the same for the outputs of the whole model, with all convolutions and poolings by the mean replaced by
    dense layers. Measures nothing on models without convolutions.
    """
    return Diagnostic(_layer_matrix)


def _noise_ensemble(model: nn.Module, dataset: Dataset, *, draws: int) -> dict[str, Tensor]:
    part = dataset.val
    if not isinstance(part, Samples) or dataset.target != "class" or not part.x.is_floating_point():
        return {}
    with torch.no_grad():
        evaluated = model(part.x)
        if not isinstance(evaluated, Tensor) or evaluated.ndim != 2 or evaluated.shape[1] < 2:
            return {}
        for module in model.modules():  # noise alone: batch statistics stay those of evaluation
            module.training = not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
        logs = torch.stack([model(part.x).double().log_softmax(1) for _ in range(draws)])
    means = {"arithmetic": logs.logsumexp(0) - torch.tensor(draws).double().log(), "geometric": logs.mean(0)}
    losses = {
        "draw": F.nll_loss(logs.flatten(0, 1), part.y.repeat(draws)),
        "eval": F.cross_entropy(evaluated.double(), part.y),
    } | {name: F.cross_entropy(mean, part.y) for name, mean in means.items()}
    gain = losses["draw"] - losses["geometric"]
    losses["recovered"] = (losses["draw"] - losses["eval"]) / gain if gain > 0 else torch.zeros(())
    return losses


@harness.diagnostic(
    reference="Hinton, Srivastava, Krizhevsky, Sutskever, Salakhutdinov, Improving neural networks by preventing "
    "co-adaptation of feature detectors, 2012, arXiv:1207.0580; arithmetic mean: Gal, Ghahramani, Dropout as a "
    "Bayesian approximation, ICML 2016, arXiv:1506.02142"
)
def noise_ensemble(
    *, draws: Annotated[int, Integers(10, 200, log=True), Ge(2), "draws of the noise"] = 50
) -> Diagnostic:
    """Evaluation mode compared with the ensemble of a classifier's draws of dropout and other noise, on validation.

    Each draw of the noise is a network of its own. Cross-entropies: `draw` of one of them on average; `geometric` and
    `arithmetic` of the means of their probabilities, the first normalized; `eval` of evaluation mode. With dropout,
    evaluation mode approximates the geometric mean, and equals it in a network of one layer:

        recovered = (draw - eval) / (draw - geometric)

    1 if evaluation mode has the gain of the ensemble over its members; 0 without noise.
    """
    return Diagnostic(functools.partial(_noise_ensemble, draws=draws))
