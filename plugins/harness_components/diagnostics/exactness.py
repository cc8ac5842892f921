"""Diagnostics that compare a network with exact statements: affinity, finite differences, steepest descent."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.func import grad

import harness
from harness import Diagnostic, Every
from harness.space import Integers, Log
from harness_components.diagnostics.curvature import add_scaled, flat, length, random_vector, shaped

Named = Mapping[str, Tensor]
Loss = Callable[..., Tensor]
TINY = 1e-300


def _rms(t: Tensor) -> Tensor:
    return t.double().square().mean().sqrt()


def departure(function: Callable[[Tensor], Any], x: Tensor) -> Tensor | None:
    """Return the distance of a function from affine on samples x [N, ...]; None if its output is no real tensor."""
    partner = x.roll(1, 0)
    at, between = function(x), function((x + partner) / 2)
    if not isinstance(at, Tensor) or not at.is_floating_point() or len(at) != len(x):
        return None
    missed = _rms(between - (at + at.roll(1, 0)) / 2)
    return missed / _rms(at - at.mean(0)).clamp_min(TINY)


@torch.no_grad()
def _affine_residual(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    if not x.is_floating_point() or len(x) < 2:
        return {}
    first = next(model.parameters(), x)
    inputs: dict[str, Tensor] = {}

    def keep(name: str, given: tuple[Any, ...]) -> None:
        if (
            len(given) == 1
            and isinstance(given[0], Tensor)
            and given[0].is_floating_point()
            and len(given[0]) == len(x)
        ):
            inputs.setdefault(name, given[0])

    layers = {name: module for name, module in model.named_modules() if name and not [*module.children()]}
    hooks = [
        module.register_forward_pre_hook(lambda _, given, name=name: keep(name, given))
        for name, module in layers.items()
    ]
    x = x.to(first.device, first.dtype)
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    found = {"": departure(model, x)} | {name: departure(layers[name], given) for name, given in inputs.items()}
    return {name: value for name, value in found.items() if value is not None}


@harness.diagnostic(reference="Strang, Introduction to linear algebra, 5th edition, 2016, chapter 8")
def affine_residual() -> Diagnostic:
    """Deviation of the trained model, and of each of its layers, from an affine map x -> W x + b.

    Over pairs (a, b) of training samples, or of a layer's inputs for them, relative to the deviation of the outputs
    from their mean f̄:

        sqrt(mean (f((a + b) / 2) - (f(a) + f(b)) / 2)²) / sqrt(mean (f(a) - f̄)²)

    It is zero up to rounding for a stack of linear layers, a convolution, or batch normalization in evaluation mode.
    Use `trainer.precision=64-true` to tell rounding from a small deviation. Layers are modules without inner modules
    and with one real input; models of indices or of several inputs are not measured.
    """
    return Diagnostic(_affine_residual, once=True)


def _unit_directions(params: Named, number: int) -> list[dict[str, Tensor]]:
    vectors = [random_vector(params, n) for n in range(number)]
    return [shaped(v / torch.linalg.vector_norm(v), params) for v in vectors]


def _gradient_check(params: Named, loss: Loss, *, directions: int) -> dict[str, Tensor]:
    slope = flat(grad(loss)(dict(params)))
    h = torch.finfo(slope.dtype).eps ** (1 / 3)
    exact, measured = [], []
    for v in _unit_directions(params, directions):
        exact.append(slope @ flat(v))
        measured.append((loss(add_scaled(params, h, v)) - loss(add_scaled(params, -h, v))) / (2 * h))
    a, b = torch.stack(exact), torch.stack(measured)
    size = torch.linalg.vector_norm(a) + torch.linalg.vector_norm(b)
    return {"": torch.linalg.vector_norm(a - b) / size.clamp_min(torch.finfo(size.dtype).tiny)}


@harness.diagnostic(reference="Bishop, Pattern recognition and machine learning, 2006, section 5.3.3")
def gradient_check(
    *, every: Every = 0, directions: Annotated[int, Integers(2, 32), Ge(1), "random directions K"] = 8
) -> Diagnostic:
    """Relative difference between back-propagated gradients and central finite differences of the loss.

    With g = ∇L(w) on the probe samples, random unit vectors v_k, and h the cube root of the precision's epsilon:

        a_k = g · v_k
        b_k = (L(w + h v_k) - L(w - h v_k)) / 2h
        |a - b| / (|a| + |b|)

    About 1e-9 in float64 (`trainer.precision=64-true`) where the loss is smooth, and 1e-4 in float32, where differences
    magnify rounding. Near 1 if a gradient is wrong.
    """
    return Diagnostic(functools.partial(_gradient_check, directions=directions), every)


def _steepest_descent(params: Named, loss: Loss, *, radius: float, directions: int) -> dict[str, Tensor]:
    slope = grad(loss)(dict(params))
    here = loss(dict(params))
    down = loss(add_scaled(params, -radius / length(slope).clamp_min(1e-30), slope)) - here
    others = torch.stack([loss(add_scaled(params, radius, v)) - here for v in _unit_directions(params, directions)])
    return {"gradient": down, "best_random": others.amin(), "better": (others < down).to(others.dtype).mean()}


@harness.diagnostic(reference="Nocedal, Wright, Numerical optimization, 2nd edition, 2006, section 2.2")
def steepest_descent(
    *,
    every: Every = 0,
    radius: Annotated[float, Log(1e-4, 10), Gt(0), "length ρ of the steps"] = 0.01,
    directions: Annotated[int, Integers(4, 256, log=True), Ge(1), "random directions K"] = 32,
) -> Diagnostic:
    """Change of the loss in a step of fixed length against the gradient, and in random directions.

    With g = ∇L(w) on the probe samples, ρ = `radius` and random unit vectors v_k:

        gradient = L(w - ρ g / |g|) - L(w)
        best_random = min_k L(w + ρ v_k) - L(w)
        better = share of the v_k with a lower loss than the step against the gradient

    `better` is 0 for short steps: no direction falls more steeply. In long steps curvature decides.
    """
    return Diagnostic(functools.partial(_steepest_descent, radius=radius, directions=directions), every)
