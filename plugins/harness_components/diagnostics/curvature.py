"""Diagnostics of the loss's curvature, by Hessian-vector products: of the probe samples, without penalties."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from torch.func import grad, vjp

import harness
from harness import Diagnostic, Every, Noise, keys
from harness.space import Integers, Log

Named = Mapping[str, Tensor]
Loss = Callable[..., Tensor]
QUADRATURE = 60  # Hessian-vector products of each direction
BROKEN = 1e-6  # of the largest number so far: what is left of a direction is then rounding


def dot(a: Named, b: Named) -> Tensor:
    """The inner product of two sets of tensors of the same names."""
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def length(a: Named) -> Tensor:
    """The Euclidean norm of all their numbers."""
    return dot(a, a).sqrt()


def added(a: Named, by: Tensor | float, b: Named) -> dict[str, Tensor]:
    """a + by · b."""
    return {name: t + by * b[name] for name, t in a.items()}


def flat(a: Named) -> Tensor:
    """All their numbers as one vector [n]."""
    return torch.cat([t.flatten() for t in a.values()])


def shaped(vector: Tensor, like: Named) -> dict[str, Tensor]:
    """A vector [n] as tensors of these names and shapes."""
    parts = vector.split([t.numel() for t in like.values()])
    return {name: part.view(t.shape) for (name, t), part in zip(like.items(), parts, strict=True)}


def drawn(like: Named, number: int) -> Tensor:
    """Standard normal numbers [n], one for each of theirs: the same for all runs, and others for another number."""
    vector = flat(like)
    return Noise(keys(torch.tensor(0, device=vector.device), number)).normal(vector.shape, vector.dtype)


def hessian_times(loss: Loss, params: Named) -> Callable[[Tensor], Tensor]:
    """v [n] -> H v, H the Hessian of a loss at some parameters (Pearlmutter 1994); its graph is made once."""
    pull = vjp(grad(loss), dict(params))[1]
    return lambda v: flat(pull(shaped(v, params))[0])


def lanczos(times: Callable[[Tensor], Tensor], start: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """The eigenvalues [iterations], ascending, of a symmetric operator on the Krylov space of a start [n], of which the
    outermost are near its own; and how much of the start lies along each: shares [iterations] that add up to 1. Where
    that space has fewer dimensions, what is left is filled with a number between, of which the start has nothing.

    Each direction is made orthogonal to all before it, which are held: without that, rounding decides what comes after
    an eigenvalue has been found.
    """
    basis = [start / torch.linalg.vector_norm(start)]
    alive = torch.ones((), dtype=torch.bool, device=start.device)
    largest = torch.zeros((), dtype=start.dtype, device=start.device)
    diagonal: list[Tensor] = []
    beside: list[Tensor] = []
    for _ in range(iterations):
        w = times(basis[-1])
        alpha = basis[-1] @ w
        diagonal.append(torch.where(alive, alpha, diagonal[0] if diagonal else alpha))
        held = torch.stack(basis)
        for _ in range(2):  # once leaves what rounding has put there
            w = w - (held @ w) @ held
        beta = torch.linalg.vector_norm(w)
        largest = torch.maximum(largest, alpha.abs() + beta)
        alive = alive & (beta > BROKEN * largest)
        beside.append(torch.where(alive, beta, 0))
        basis.append(torch.where(alive, w / beta.clamp_min(1e-30), 0))
    off = torch.stack(beside)[:-1]
    small = (torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1)).double()
    found, vectors = torch.linalg.eigh(_finite(small))
    return torch.where(small.isfinite().all(), found, torch.nan), vectors[0].square()


def eigenvalues(symmetric: Tensor) -> Tensor:
    """The eigenvalues [n], ascending, of a matrix [n, n]; none is a number where one of its own is not."""
    return torch.where(symmetric.isfinite().all(), torch.linalg.eigvalsh(_finite(symmetric)), torch.nan)


def _finite(symmetric: Tensor) -> Tensor:
    """What decompositions accept: they refuse what is no number, of one run for all."""
    return symmetric.nan_to_num(0.0, 0.0, 0.0)


Iterations = Annotated[int, Integers(5, 50), Ge(2), "Hessian-vector products"]


def _hessian(params: Named, loss: Loss, lr: Tensor | float, *, iterations: int) -> dict[str, Tensor]:
    size = sum(p.numel() for p in params.values())
    found, _ = lanczos(hessian_times(loss, params), drawn(params, 0), min(iterations, size))
    return {"largest": found[-1], "smallest": found[0], "lr_over_limit": lr * found[-1] / 2}


@harness.diagnostic(
    reference="Lanczos iteration: Ghorbani, Krishnan, Xiao, An investigation into neural net optimization via Hessian "
    "eigenvalue density, ICML 2019, arXiv:1901.10159; the limit: Cohen et al., Gradient descent on neural networks "
    "typically occurs at the edge of stability, ICLR 2021, arXiv:2103.00065"
)
def hessian(*, every: Every = 0, iterations: Iterations = 20) -> Diagnostic:
    """The Hessian's largest and smallest eigenvalue, and the learning rate over its limit 2 / λ_max.

    Of H = ∇² L at the parameters after the step, L the training loss of the probe samples without penalties, by Lanczos
    iteration from a fixed random start: λ_max >= largest, and near it. `lr_over_limit` = lr λ_max / 2: gradient descent
    without momentum leaves a valley that is steeper, above 1. With momentum β the limit is 1 + β times as high, and
    what scales gradients, as adam, has another.
    """
    return Diagnostic(functools.partial(_hessian, iterations=iterations), every)


def _trace(params: Named, loss: Loss, *, directions: int) -> dict[str, Tensor]:
    times = hessian_times(loss, params)
    signs = [torch.copysign(torch.ones_like(v), v) for v in (drawn(params, n) for n in range(directions))]
    found = torch.stack([v @ times(v) for v in signs])
    return {"": found.mean(), "error": found.std() / directions**0.5}


@harness.diagnostic(
    reference="Hutchinson, A stochastic estimator of the trace of the influence matrix for Laplacian smoothing "
    "splines, Communications in Statistics 1990"
)
def hessian_trace(
    *, every: Every = 0, directions: Annotated[int, Integers(4, 64), Ge(2), "random directions of signs"] = 8
) -> Diagnostic:
    """The trace of the Hessian: the sum of its eigenvalues, and the standard error of that estimate.

    mean_k v_kᵀ H v_k, with H of `hessian` and v_k of independent signs ±1, the same at every step.
    """
    return Diagnostic(functools.partial(_trace, directions=directions), every)


def _sharpness(params: Named, loss: Loss, *, radius: float) -> dict[str, Tensor]:
    slope = grad(loss)(dict(params))
    up = added(params, radius / length(slope).clamp_min(1e-30), slope)
    return {"": loss(up) - loss(dict(params))}


@harness.diagnostic(
    reference="Foret et al., Sharpness-aware minimization for efficiently improving generalization, ICLR 2021, "
    "arXiv:2010.01412"
)
def sharpness(
    *, every: Every = 0, radius: Annotated[float, Log(0.01, 1.0), Gt(0), "of the step uphill, in all parameters"] = 0.05
) -> Diagnostic:
    """How much the loss rises in a step uphill of a fixed length: L(w + ρ g / |g|) - L(w).

    g = ∇L(w), of the probe samples; ρ the radius: what SAM takes for the highest loss within it.
    """
    return Diagnostic(functools.partial(_sharpness, radius=radius), every)


def spectrum(params: Named, loss: Loss) -> tuple[Tensor, Tensor]:
    """The eigenvalues [n] of the whole Hessian, written down, and the share of all that each is: 1 / n."""
    units = torch.eye(len(flat(params)), dtype=flat(params).dtype)
    matrix = torch.func.vmap(hessian_times(loss, params), chunk_size=64)(units).double()
    found = eigenvalues((matrix + matrix.T) / 2)
    return found, torch.full_like(found, 1 / len(found))


def density(params: Named, loss: Loss, directions: int) -> tuple[Tensor, Tensor]:
    """Numbers [m] that stand for the Hessian's eigenvalues, and shares [m] of them: stochastic Lanczos quadrature."""
    times, count = hessian_times(loss, params), min(QUADRATURE, len(flat(params)))
    parts = [lanczos(times, drawn(params, number), count) for number in range(directions)]
    return torch.cat([found for found, _ in parts]), torch.cat([share for _, share in parts]) / directions


def _index(params: Named, loss: Loss, *, exact: int, directions: int, zero: float) -> dict[str, Tensor]:
    n = len(flat(params))
    found, shares = spectrum(params, loss) if n <= exact else density(params, loss, directions)
    level = zero * found.abs().amax()
    counted = {"negative": found < -level, "zero": found.abs() <= level, "positive": found > level}
    ends = {"smallest": found.amin(), "largest": found.amax(), "gradient_norm": length(grad(loss)(dict(params)))}
    return {name: n * (shares * which).sum() for name, which in counted.items()} | ends


@harness.diagnostic(
    reference="Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional non-convex "
    "optimization, NeurIPS 2014, arXiv:1406.2572; stochastic Lanczos quadrature: Ghorbani, Krishnan, Xiao, ICML 2019, "
    "arXiv:1901.10159"
)
def hessian_index(
    *,
    exact: Annotated[int, Ge(1), "parameters up to which the whole matrix is made; of more it is estimated"] = 1000,
    directions: Annotated[int, Integers(2, 16), Ge(1), "random directions of the estimate"] = 4,
    zero: Annotated[float, Gt(0), "of the largest eigenvalue: what is nearer to zero counts as zero"] = 1e-5,
) -> Diagnostic:
    """How many eigenvalues of the Hessian are negative, zero and positive where the run has stopped.

    Of H = ∇² L of the probe samples. Where the gradient is near zero, no negative one tells a minimum, some tell a
    saddle, and their number is its index; with a gradient the point is on a slope, and no stop. Of a large network the
    numbers are estimates: n times the share of random directions that lies along negative, zero and positive
    eigenvalues, which blurs those that are very near to zero.
    """
    return Diagnostic(functools.partial(_index, exact=exact, directions=directions, zero=zero), once=True)
