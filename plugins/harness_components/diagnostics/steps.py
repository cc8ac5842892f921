"""Diagnostics of each layer's weights, gradients and steps: cheap, and made from what a step leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

import harness
from harness import Diagnostic, Every, quantities

Named = Mapping[str, Tensor]


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of all the numbers of some tensors."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in tensors]))


def by_layer(tensors: Named) -> dict[str, list[Tensor]]:
    """Parameters by the module that holds them, in the model's order.

    >>> list(by_layer({"a.weight": torch.ones(1), "a.bias": torch.ones(1), "b.c.weight": torch.ones(1)}))
    ['a', 'b.c']
    """
    found: dict[str, list[Tensor]] = {}
    for name, t in tensors.items():
        found.setdefault(name.rpartition(".")[0], []).append(t)
    return found


def matrices(tensors: Named) -> dict[str, Tensor]:
    """The weights by layer: parameters of more than one dimension."""
    found = {}
    for name, t in tensors.items():
        if t.ndim > 1:
            layer, _, last = name.rpartition(".")
            found[layer if last == "weight" else name] = t
    return found


def _gradient_norm(grads: Named) -> dict[str, Tensor]:
    norms = {layer: norm(own) for layer, own in by_layer(grads).items()}
    return {"all": norm(norms.values())} | norms if norms else {}


@harness.diagnostic(tells={"all": quantities.WHOLE_GRADIENT, "{layer}": quantities.WEIGHT_GRADIENT})
def gradient_norm(*, every: Every = 0) -> Diagnostic:
    """The Euclidean norm of the step's gradient: of all parameters, and of each layer's.

    g = sqrt(sum of squares); in the unit of the loss over that of a weight, after what regularizers do to gradients.
    """
    return Diagnostic(_gradient_norm, every)


def _update_ratio(params: Named, previous: Named) -> dict[str, Tensor]:
    found = {}
    for layer, weight in matrices(params).items():
        before = matrices(previous)[layer]
        found[layer] = norm([weight - before]) / norm([before]).clamp_min(1e-30)
    return found


@harness.diagnostic(
    reference="Karpathy, CS231n notes: Neural Networks Part 3, ratio of weights to updates, 2016",
    tells={"{layer}": quantities.UPDATE},
)
def update_ratio(*, every: Every = 0) -> Diagnostic:
    """How far the step moved each layer's weights, relative to their size: |w' - w| / |w|, often near 1e-3.

    Biases, which begin at zero, are left out.
    """
    return Diagnostic(_update_ratio, every)


def _weight_norm(params: Named, start: Named) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for layer, weight in matrices(params).items():
        first = matrices(start)[layer]
        found[f"{layer}/norm"] = norm([weight])
        found[f"{layer}/moved"] = norm([weight - first]) / norm([first]).clamp_min(1e-30)
    return found


@harness.diagnostic
def weights(*, every: Every = 0) -> Diagnostic:
    """The Euclidean norm of each layer's weights, and how far they have moved: |w - w0| / |w0| from the start w0."""
    return Diagnostic(_weight_norm, every)


def _asymmetry(params: Named) -> dict[str, Tensor]:
    found = {}
    for layer, weight in matrices(params).items():
        rows = weight.flatten(1)
        if rows.shape[0] > 1:
            apart = rows - rows.mean(0, keepdim=True)
            found[layer] = norm([apart]) / norm([rows]).clamp_min(1e-30)
    return found


@harness.diagnostic(
    reference="Goodfellow, Bengio, Courville, Deep Learning, MIT Press 2016, section 8.4",
    tells={"{layer}": quantities.ASYMMETRY},
)
def unit_asymmetry(*, every: Every = 0) -> Diagnostic:
    """How much the units of a layer differ: |W - mean row| / |W|, 0 where all units compute the same.

    W: [units, inputs]. Units of equal weights get equal gradients, and stay equal.
    """
    return Diagnostic(_asymmetry, every)


def _unreached(params: Named, grads: Named) -> dict[str, float]:
    return {"": float(len(params) - len(grads))}


@harness.diagnostic(tells={"": quantities.UNREACHED})
def unreached(*, every: Every = 0) -> Diagnostic:
    """How many trainable parameters the loss does not reach: they have no gradient, and no optimizer steps them."""
    return Diagnostic(_unreached, every)


def _gap(history: list[dict[str, float]]) -> dict[str, float]:
    last = history[-1]
    return {"": last["val/loss"] - last["train/loss"]} if "val/loss" in last else {}


@harness.diagnostic
def train_val_gap() -> Diagnostic:
    """By how much the validation loss lies above the training loss of the same epoch, which was taken while it ran."""
    return Diagnostic(_gap)


def _systems(machine: Mapping[str, float]) -> dict[str, float]:
    return dict(machine)


@harness.diagnostic(tells={"waiting": quantities.WAITING})
def systems() -> Diagnostic:
    """What the machine does in the training part of each epoch.

    `samples_per_s`, of all runs that are trained together; `waiting`, the share of the time in which a batch of data
    was waited for; `cores`, the processor seconds of this process a second; `memory`, what it holds, in bytes; and
    where a GPU tells them, `device_memory`, the most that tensors held on it in bytes, and `device_busy`, the share of
    the time in which it computed. No function of the run: another time it is another.
    """
    return Diagnostic(_systems)
