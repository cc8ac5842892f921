"""Cheap diagnostics of each layer's weights, gradients and steps, from what a training step computes anyway."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import torch
from torch import Tensor

import harness
from harness import Diagnostic, Every, HarnessError, quantities

Named = Mapping[str, Tensor]


def norm(tensors: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm over all tensors."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(t) for t in tensors]))


def by_layer(tensors: Named) -> dict[str, list[Tensor]]:
    """Group parameters by the module that holds them, in the model's order.

    >>> list(by_layer({"a.weight": torch.ones(1), "a.bias": torch.ones(1), "b.c.weight": torch.ones(1)}))
    ['a', 'b.c']
    """
    layers: dict[str, list[Tensor]] = {}
    for name, t in tensors.items():
        layers.setdefault(name.rpartition(".")[0], []).append(t)
    return layers


def matrices(tensors: Named) -> dict[str, Tensor]:
    """Return the weights by layer: parameters of more than one dimension."""
    weights = {}
    for name, t in tensors.items():
        if t.ndim > 1:
            layer, _, last = name.rpartition(".")
            weights[layer if last == "weight" else name] = t
    return weights


def _gradient_norm(grads: Named) -> dict[str, Tensor]:
    norms = {layer: norm(gradients) for layer, gradients in by_layer(grads).items()}
    return {"all": norm(norms.values())} | norms if norms else {}


@harness.diagnostic(tells={"all": quantities.WHOLE_GRADIENT, "{layer}": quantities.WEIGHT_GRADIENT})
def gradient_norm(*, every: Every = 0) -> Diagnostic:
    """Euclidean norm of the step's gradient, over all parameters and for each layer.

        g = sqrt(Σ (∂L/∂w)²)

    In units of the loss per unit of a weight, after regularizers have changed the gradients.
    """
    return Diagnostic(_gradient_norm, every)


def _update_ratio(params: Named, previous: Named) -> dict[str, Tensor]:
    ratios = {}
    for layer, weight in matrices(params).items():
        before = matrices(previous)[layer]
        ratios[layer] = norm([weight - before]) / norm([before]).clamp_min(1e-30)
    return ratios


@harness.diagnostic(
    reference="Karpathy, CS231n notes: Neural Networks Part 3, ratio of weights to updates, 2016",
    tells={"{layer}": quantities.UPDATE},
)
def update_ratio(*, every: Every = 0) -> Diagnostic:
    """Relative size of each layer's update, |w' - w| / |w|; often near 1e-3.

    Biases, which start at zero, are left out.
    """
    return Diagnostic(_update_ratio, every)


def _weight_norm(params: Named, start: Named) -> dict[str, Tensor]:
    scalars: dict[str, Tensor] = {}
    for layer, weight in matrices(params).items():
        first = matrices(start)[layer]
        scalars[f"{layer}/norm"] = norm([weight])
        scalars[f"{layer}/moved"] = norm([weight - first]) / norm([first]).clamp_min(1e-30)
    return scalars


@harness.diagnostic
def weights(*, every: Every = 0) -> Diagnostic:
    """Euclidean norm of each layer's weights, and their relative distance from the start w0: |w - w0| / |w0|."""
    return Diagnostic(_weight_norm, every)


def _asymmetry(params: Named) -> dict[str, Tensor]:
    ratios = {}
    for layer, weight in matrices(params).items():
        rows = weight.flatten(1)
        if rows.shape[0] > 1:
            deviations = rows - rows.mean(0, keepdim=True)
            ratios[layer] = norm([deviations]) / norm([rows]).clamp_min(1e-30)
    return ratios


@harness.diagnostic(
    reference="Goodfellow, Bengio, Courville, Deep Learning, MIT Press 2016, section 8.4",
    tells={"{layer}": quantities.ASYMMETRY},
)
def unit_asymmetry(*, every: Every = 0) -> Diagnostic:
    """Difference between the units of a layer: |W - mean row| / |W|, 0 if all units compute the same.

    W is [units, inputs]. Units with equal weights get equal gradients, and stay equal.
    """
    return Diagnostic(_asymmetry, every)


def _zeros(params: Named, grads: Named, previous: Named) -> dict[str, Tensor]:
    before = matrices(previous)
    kinds = {
        "weights": {layer: w == 0 for layer, w in matrices(params).items()},
        "gradients": {layer: g == 0 for layer, g in matrices(grads).items()},
        "unchanged": {layer: w == before[layer] for layer, w in matrices(params).items()},
    }
    shares: dict[str, Tensor] = {}
    for kind, layers in kinds.items():
        if layers:
            shares[kind] = torch.cat([zero.flatten() for zero in layers.values()]).to(torch.float32).mean()
        shares |= {f"{layer}/{kind}": zero.to(torch.float32).mean() for layer, zero in layers.items()}
    return shares


@harness.diagnostic
def zeros(*, every: Every = 0) -> Diagnostic:
    """Shares of the weights that are exactly zero, have a gradient of exactly zero, or do not change in the step.

    `weights`, `gradients` and `unchanged` over all matrices and kernels, and for each layer. With `sgd` a weight
    without a gradient is unchanged; momentum and `adam` move it on.
    """
    return Diagnostic(_zeros, every)


def _filter_match(params: Named, *, pattern: Sequence[float]) -> dict[str, Tensor]:
    for weight in matrices(params).values() if pattern else ():
        kernels = weight.flatten(1)
        if kernels.shape[1] != len(pattern):
            raise HarnessError(
                f"diagnostic.filter_match.pattern has {len(pattern)} numbers, and a unit of the first layer has "
                f"{kernels.shape[1]} weights"
            )
        target = torch.tensor(pattern, dtype=kernels.dtype, device=kernels.device)
        cosines = (kernels @ target) / (torch.linalg.vector_norm(kernels, dim=1) * torch.linalg.vector_norm(target))
        return {"": cosines.abs().amax()}
    return {}


@harness.diagnostic(
    reference="the matched filter: North, An analysis of the factors which determine signal/noise "
    "discrimination in pulsed-carrier systems, Proceedings of the IEEE 51, 1963"
)
def filter_match(
    *,
    every: Every = 0,
    pattern: Annotated[tuple[float, ...], "the pattern, row by row, as many numbers as a unit has weights"] = (),
) -> Diagnostic:
    """Largest similarity between a unit of the first layer and a given pattern, |cos(w_u, pattern)|.

        max_u |w_u · p| / (|w_u| |p|)

    1 if a unit is a matched filter of the pattern; nothing is measured without one. The cross of data=planted_pattern
    is `[1,-1,1,-1,0,-1,1,-1,1]`, for kernels of 3 x 3 pixels and one channel.
    """
    return Diagnostic(functools.partial(_filter_match, pattern=pattern), every)


def _unreached(params: Named, grads: Named) -> dict[str, float]:
    return {"": float(len(params) - len(grads))}


@harness.diagnostic(tells={"": quantities.UNREACHED})
def unreached(*, every: Every = 0) -> Diagnostic:
    """Number of trainable parameters without a gradient: the loss does not depend on them, nothing updates them."""
    return Diagnostic(_unreached, every)


def _gap(history: list[dict[str, float]]) -> dict[str, float]:
    last = history[-1]
    return {"": last["val/loss"] - last["train/loss"]} if "val/loss" in last else {}


@harness.diagnostic
def train_val_gap() -> Diagnostic:
    """Validation loss minus training loss of the same epoch; the training loss is measured while the weights change."""
    return Diagnostic(_gap)


def _systems(machine: Mapping[str, float]) -> dict[str, float]:
    return dict(machine)


@harness.diagnostic(tells={"waiting": quantities.WAITING})
def systems() -> Diagnostic:
    """Throughput and use of the machine in the training part of each epoch.

    `samples_per_s`: of all runs trained together; `waiting`: share of the time spent waiting for data; `cores`:
    processor seconds of this process per second; `memory`: resident memory in bytes; and with a GPU that reports them,
    `device_memory`: peak memory of tensors in bytes, `device_busy`: share of the time in which it computed. Not
    reproducible, unlike the other diagnostics.
    """
    return Diagnostic(_systems)
