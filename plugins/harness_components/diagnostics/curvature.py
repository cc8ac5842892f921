"""Diagnostics of the loss's curvature by Hessian-vector products, on the probe samples and without penalties."""

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
BREAKDOWN = 1e-6  # relative to the largest coefficient so far: below it a direction is rounding noise


def dot(a: Named, b: Named) -> Tensor:
    """Return the inner product of two sets of tensors with the same names."""
    return torch.stack([(a[name] * b[name]).sum() for name in a]).sum()


def length(a: Named) -> Tensor:
    """Return the Euclidean norm over all tensors."""
    return dot(a, a).sqrt()


def add_scaled(a: Named, by: Tensor | float, b: Named) -> dict[str, Tensor]:
    """Return a + by · b."""
    return {name: t + by * b[name] for name, t in a.items()}


def flat(a: Named) -> Tensor:
    """Concatenate all tensors into one vector [n]."""
    return torch.cat([t.flatten() for t in a.values()])


def shaped(vector: Tensor, like: Named) -> dict[str, Tensor]:
    """Split a vector [n] into tensors of these names and shapes."""
    parts = vector.split([t.numel() for t in like.values()])
    return {name: part.view(t.shape) for (name, t), part in zip(like.items(), parts, strict=True)}


def random_vector(like: Named, number: int) -> Tensor:
    """Draw a standard normal vector [n], the size of `like`: the same for all runs, another one for each `number`."""
    vector = flat(like)
    return Noise(keys(torch.tensor(0, device=vector.device), number)).normal(vector.shape, vector.dtype)


def hessian_times(loss: Loss, params: Named) -> Callable[[Tensor], Tensor]:
    """Return the function v [n] -> H v, H the Hessian of a loss at `params` (Pearlmutter 1994), built once."""
    pull = vjp(grad(loss), dict(params))[1]
    return lambda v: flat(pull(shaped(v, params))[0])


def lanczos(times: Callable[[Tensor], Tensor], start: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Run the Lanczos iteration with full reorthogonalization.

    Without reorthogonalization rounding would decide the iterates after an eigenvalue has converged.

    Args:
        times: symmetric operator on vectors [n].
        start: start vector, [n].
        iterations: dimensions of the Krylov space.

    Returns:
        Ritz values [iterations], ascending, whose outermost approximate the outermost eigenvalues; and the share of the
        start along each, which add up to 1. If the Krylov space has fewer dimensions, values with share 0 fill up.
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
        for _ in range(2):  # a second pass removes the rounding errors of the first
            w = w - (held @ w) @ held
        beta = torch.linalg.vector_norm(w)
        largest = torch.maximum(largest, alpha.abs() + beta)
        alive = alive & (beta > BREAKDOWN * largest)
        beside.append(torch.where(alive, beta, 0))
        basis.append(torch.where(alive, w / beta.clamp_min(1e-30), 0))
    off = torch.stack(beside)[:-1]
    small = (torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1)).double()
    values, vectors = torch.linalg.eigh(_finite(small))
    return torch.where(small.isfinite().all(), values, torch.nan), vectors[0].square()


def eigenvalues(symmetric: Tensor) -> Tensor:
    """Return the eigenvalues [n] of a symmetric matrix [n, n], ascending; all nan if an element is not finite."""
    return torch.where(symmetric.isfinite().all(), torch.linalg.eigvalsh(_finite(symmetric)), torch.nan)


def _finite(symmetric: Tensor) -> Tensor:
    """Replace nan and infinities, which decompositions refuse for a whole stack of runs."""
    return symmetric.nan_to_num(0.0, 0.0, 0.0)


Iterations = Annotated[int, Integers(5, 50), Ge(2), "Hessian-vector products"]


def _hessian(params: Named, loss: Loss, lr: Tensor | float, *, iterations: int) -> dict[str, Tensor]:
    size = sum(p.numel() for p in params.values())
    values, _ = lanczos(hessian_times(loss, params), random_vector(params, 0), min(iterations, size))
    return {"largest": values[-1], "smallest": values[0], "lr_over_limit": lr * values[-1] / 2}


@harness.diagnostic(
    reference="Lanczos iteration: Ghorbani, Krishnan, Xiao, An investigation into neural net optimization via Hessian "
    "eigenvalue density, ICML 2019, arXiv:1901.10159; the limit: Cohen et al., Gradient descent on neural networks "
    "typically occurs at the edge of stability, ICLR 2021, arXiv:2103.00065"
)
def hessian(*, every: Every = 0, iterations: Iterations = 20) -> Diagnostic:
    """Largest and smallest eigenvalue of the Hessian, and the learning rate relative to its stability limit.

    By Lanczos iteration from a fixed random start, for H = ∇² L of the training loss on the probe samples, without
    penalties, after the step:

        largest <= λ_max, close to it
        lr_over_limit = lr λ_max / 2

    Gradient descent without momentum leaves valleys with lr_over_limit > 1. With momentum β the limit is 1 + β times as
    high; adaptive optimizers have other limits.
    """
    return Diagnostic(functools.partial(_hessian, iterations=iterations), every)


def _trace(params: Named, loss: Loss, *, directions: int) -> dict[str, Tensor]:
    times = hessian_times(loss, params)
    signs = [torch.copysign(torch.ones_like(v), v) for v in (random_vector(params, n) for n in range(directions))]
    estimates = torch.stack([v @ times(v) for v in signs])
    return {"": estimates.mean(), "error": estimates.std() / directions**0.5}


@harness.diagnostic(
    reference="Hutchinson, A stochastic estimator of the trace of the influence matrix for Laplacian smoothing "
    "splines, Communications in Statistics 1990"
)
def hessian_trace(
    *, every: Every = 0, directions: Annotated[int, Integers(4, 64), Ge(2), "number K of random sign vectors"] = 8
) -> Diagnostic:
    """Trace of the Hessian, the sum of its eigenvalues, with the standard error of the estimate.

    With H of `hessian`, and sign vectors v_k of independent ±1, the same at every step:

        mean_k v_kᵀ H v_k
    """
    return Diagnostic(functools.partial(_trace, directions=directions), every)


def _sharpness(params: Named, loss: Loss, *, radius: float) -> dict[str, Tensor]:
    slope = grad(loss)(dict(params))
    up = add_scaled(params, radius / length(slope).clamp_min(1e-30), slope)
    return {"": loss(up) - loss(dict(params))}


@harness.diagnostic(
    reference="Foret et al., Sharpness-aware minimization for efficiently improving generalization, ICLR 2021, "
    "arXiv:2010.01412"
)
def sharpness(
    *, every: Every = 0, radius: Annotated[float, Log(0.01, 1.0), Gt(0), "length ρ of the step"] = 0.05
) -> Diagnostic:
    """Sharpness: the rise of the loss in an uphill step of fixed length.

    With g = ∇L(w) on the probe samples and ρ = `radius`:

        L(w + ρ g / |g|) - L(w)

    The first-order estimate of the largest rise within ρ, as in SAM.
    """
    return Diagnostic(functools.partial(_sharpness, radius=radius), every)


def spectrum(params: Named, loss: Loss) -> tuple[Tensor, Tensor]:
    """Return all eigenvalues [n] of the Hessian, and their shares, 1 / n each."""
    units = torch.eye(len(flat(params)), dtype=flat(params).dtype)
    matrix = torch.func.vmap(hessian_times(loss, params), chunk_size=64)(units).double()
    values = eigenvalues((matrix + matrix.T) / 2)
    return values, torch.full_like(values, 1 / len(values))


def density(params: Named, loss: Loss, directions: int) -> tuple[Tensor, Tensor]:
    """Estimate the Hessian's spectrum by stochastic Lanczos quadrature: values [m] and their shares [m]."""
    times, count = hessian_times(loss, params), min(QUADRATURE, len(flat(params)))
    parts = [lanczos(times, random_vector(params, number), count) for number in range(directions)]
    return torch.cat([values for values, _ in parts]), torch.cat([share for _, share in parts]) / directions


def _index(params: Named, loss: Loss, *, exact: int, directions: int, zero: float) -> dict[str, Tensor]:
    n = len(flat(params))
    values, shares = spectrum(params, loss) if n <= exact else density(params, loss, directions)
    level = zero * values.abs().amax()
    masks = {"negative": values < -level, "zero": values.abs() <= level, "positive": values > level}
    ends = {"smallest": values.amin(), "largest": values.amax(), "gradient_norm": length(grad(loss)(dict(params)))}
    return {name: n * (shares * mask).sum() for name, mask in masks.items()} | ends


@harness.diagnostic(
    reference="Dauphin et al., Identifying and attacking the saddle point problem in high-dimensional non-convex "
    "optimization, NeurIPS 2014, arXiv:1406.2572; stochastic Lanczos quadrature: Ghorbani, Krishnan, Xiao, ICML 2019, "
    "arXiv:1901.10159"
)
def hessian_index(
    *,
    exact: Annotated[int, Ge(1), "largest number of parameters for the whole matrix; larger ones are estimated"] = 1000,
    directions: Annotated[int, Integers(2, 16), Ge(1), "random directions of the estimate"] = 4,
    zero: Annotated[float, Gt(0), "eigenvalues below this share of the largest count as zero"] = 1e-5,
) -> Diagnostic:
    """Number of negative, zero and positive eigenvalues of the Hessian at the end of a run.

    For H = ∇² L on the probe samples. Where the gradient is near zero, no negative eigenvalue means a minimum;
    otherwise it is a saddle, and their number is its index. A large gradient means that the point is not stationary.
    For large networks the numbers are estimates, n times the share of random directions, blurred near zero.
    """
    return Diagnostic(functools.partial(_index, exact=exact, directions=directions, zero=zero), once=True)
