"""Evidence on the layers of a network: outputs on some samples, gradients, and curvature."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness import Dataset, Diagnostic, Noise
from harness_doctor.engine import quantities as q
from harness_doctor.engine_training import (
    DiagnosticInputs,
    Layer,
    PathView,
    SinglePath,
    Step,
    module_roles,
    without_running_stats,
)
from harness_doctor.evidence import Block

Named = Mapping[str, Tensor]
Found = dict[str, dict[str, float]]  # {quantity: {layer: value}}
PROBED = 128  # samples
WORK = 1 << 38  # largest number of multiply-adds for a curvature
FLAT = 0.05  # slope, relative to the steepest one, below which a unit is saturated


def glance(path: SinglePath, dataset: Dataset) -> Found:
    """Return {quantity: {layer: value}} for a network with its current weights."""
    seeing = DiagnosticInputs(PathView(path, dataset), PROBED, None)
    params = seeing.view.params()
    step = Step(0, {}, {}, {}, 0.0, path.plan.samples, path.plan.each)
    given, troubles = seeing.compute(step, {"layers", "slopes", "loss", "params"})
    found: Found = asymmetry({n: p.detach() for n, p in params.items()})
    if "layers" not in troubles:
        known = module_roles(path.model)
        layers = {name: Layer(out, gradient, known[name]) for name, (out, gradient) in given["layers"].items()}
        found |= of_layers(layers, given.get("slopes", {}))
    if not troubles.keys() & {"loss", "params"}:
        found |= {
            quantity: {layer: float(value) for layer, value in seeing.measure(Diagnostic(measure), given).items()}
            for quantity, measure in ((q.WEIGHT_GRADIENT, _weight_gradient), (q.UNREACHED, _unreached))
        }
    return found


def blocking(path: SinglePath) -> Block | None:
    """Return the first module that takes what depends on parameters and returns what does not."""
    found: list[nn.Module] = []

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        given = [*inputs, *module.parameters()]
        if not _differentiable([output]) and _differentiable(given):
            found.append(module)

    names = {module: name for name, module in path.model.named_modules()}
    handles = [module.register_forward_hook(note) for module in names]
    x, _ = path.slice(path.data["train"], 0, 2, None)
    try:
        with torch.enable_grad(), path.redirect_noise(Noise(path.key(0))), without_running_stats(path.model):
            path.model(x)
    except (RuntimeError, TypeError, ValueError):  # such a batch cannot be computed
        found = []
    finally:
        for handle in handles:
            handle.remove()
    return Block(names[found[0]], *(path.parts.uses.maker(found[0]) or ())) if found else None


def _differentiable(values: Sequence[Any]) -> bool:
    return any(isinstance(value, Tensor) and value.requires_grad for value in values)


def of_layers(layers: Mapping[str, Layer], slopes: Named) -> Found:
    """Return the quantities of layer outputs and their gradients."""
    found: Found = {name: {} for name in (q.GRADIENT, q.DEAD, q.ZEROS, q.SATURATED, q.LARGEST_ACTIVATION)}
    for name, (output, gradient, role) in layers.items():
        found[q.LARGEST_ACTIVATION][name] = float(output.abs().amax())
        if role == "weights":
            found[q.GRADIENT][name] = float(gradient.square().mean().sqrt())
        if role != "activation":
            continue
        zero = output == 0
        found[q.ZEROS][name] = float(zero.double().mean())
        units = zero.movedim(1, 0).flatten(1) if zero.ndim > 1 else zero[None]
        found[q.DEAD][name] = float(units.all(1).double().mean())
        slope = slopes.get(name)
        if slope is not None and slope.shape == output.shape:
            flat = slope.abs() < FLAT * slope.abs().amax().clamp_min(1e-30)
            found[q.SATURATED][name] = float((flat & ~zero).double().mean())
    return found


def asymmetry(params: Named) -> Found:
    """Return |W - mean row| / |W| for each layer with more than one unit: 0 if all units are equal."""
    ratios = {}
    for name, weight in params.items():
        if weight.ndim > 1 and weight.shape[0] > 1:
            rows = weight.flatten(1)
            layer, _, last = name.rpartition(".")
            difference = (rows - rows.mean(0, keepdim=True)).norm()
            ratios[layer if last == "weight" else name] = float(difference / rows.norm().clamp_min(1e-30))
    return {q.ASYMMETRY: ratios}


def _gradients(loss: Any, params: Named) -> dict[str, Tensor | None]:
    leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    with torch.enable_grad():
        total = loss(leaves)
        grads = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return dict(zip(leaves, grads, strict=True))


def _weight_gradient(loss: Any, params: Named) -> dict[str, Tensor]:
    grads = {name: g for name, g in _gradients(loss, params).items() if g is not None and g.ndim > 1}
    return {name.removesuffix(".weight"): g.norm() for name, g in grads.items()}


def _unreached(loss: Any, params: Named) -> dict[str, Tensor]:
    return {name: torch.ones(()) for name, g in _gradients(loss, params).items() if g is None}


def curvature(path: SinglePath, dataset: Dataset, most: int = 512, iterations: int = 30) -> float:
    """Return the largest eigenvalue of the training loss's Hessian on the first samples; nan if unavailable."""
    seeing = DiagnosticInputs(PathView(path, dataset), most, None)
    given, troubles = seeing.compute(Step(0, {}, {}, {}, 0.0, path.plan.samples, path.plan.each), {"loss", "params"})
    if troubles or 2 * iterations * most * 3 * (path.parts.probe.work or 0) > WORK:
        return math.nan

    def measure(loss: Any, params: Named) -> dict[str, float]:
        leaves = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
        with torch.enable_grad():
            slope = _flat(torch.autograd.grad(loss(leaves), [*leaves.values()], create_graph=True, allow_unused=True),
                          leaves)  # fmt: skip

        def times(v: Tensor) -> Tensor:
            made = torch.autograd.grad(slope, [*leaves.values()], v, retain_graph=True, allow_unused=True)
            return _flat(made, leaves)

        return {"": largest_eigenvalue(times, slope.detach(), iterations)}

    try:
        return float(seeing.measure(Diagnostic(measure), given)[""])
    except (RuntimeError, NotImplementedError, ValueError, TypeError):  # for example, not twice differentiable
        return math.nan


def _flat(grads: Sequence[Tensor | None], leaves: Named) -> Tensor:
    pairs = zip(grads, leaves.values(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def largest_eigenvalue(times: Callable[[Tensor], Tensor], like: Tensor, iterations: int) -> float:
    """Return the largest eigenvalue of a symmetric operator by Lanczos iteration with full reorthogonalization."""
    start = torch.randn(like.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = [start / start.norm()]
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(min(iterations, len(like))):
        v = times(basis[-1].to(like.dtype)).detach().double()
        diagonal.append(v @ basis[-1])
        for _ in range(2):  # a second pass removes the rounding errors of the first
            v = v - torch.stack(basis).T @ (torch.stack(basis) @ v)
        beside.append(v.norm())
        if beside[-1] < 1e-10 * diagonal[0].abs().clamp_min(1e-30):
            break
        basis.append(v / beside[-1])
    off = torch.stack(beside[: len(diagonal) - 1]) if len(diagonal) > 1 else torch.zeros(0, dtype=torch.float64)
    made = torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1)
    return float(torch.linalg.eigvalsh(made)[-1])
