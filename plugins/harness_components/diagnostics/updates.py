"""Diagnostics of the steps of single weights: their size relative to the gradient, and weights that never move."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import harness
from harness import Diagnostic, Every
from harness_components.diagnostics.curvature import flat
from harness_components.diagnostics.steps import norm

Named = Mapping[str, Tensor]


def _step_size(params: Named, previous: Named, start: Named, grads: Named) -> dict[str, Tensor]:
    if not grads:
        return {}
    step, gradient, moved = (
        flat({name: t[name] - (other[name] if other else 0) for name in grads}).abs().double()
        for t, other in ((params, previous), (grads, None), (params, start))
    )
    known = ((step > 0) & (gradient > 0) & (moved > 0)).double()
    count = known.sum().clamp_min(1)

    def logs(values: Tensor) -> Tensor:
        """Return the decimal logarithms minus their mean, 0 where they are unknown."""
        log = torch.where(known > 0, values, 1).log10()
        return (log - log.sum() / count) * known

    size, distance = logs(step / gradient.clamp_min(1e-300)), logs(moved)
    variances = size.square().sum() * distance.square().sum()
    return {
        "": norm([step]) / norm([gradient]).clamp_min(1e-300),
        "spread": (size.square().sum() / count).sqrt(),
        "moved": (size * distance).sum() / variances.sqrt().clamp_min(1e-300),
    }


@harness.diagnostic
def step_size(*, every: Every = 0) -> Diagnostic:
    """Size of a step relative to the gradient: the learning rate that gradient descent would need for it.

    With w the weights and biases after the step, w' before it, w0 at the start, g the gradient, and the step size
    s_i = |w_i - w'_i| / |g_i| of a single weight:

        |w - w'| / |g|, over all weights
        spread = standard deviation of log10 s_i over the weights: 0 if all have the same learning rate
        moved = correlation of log s_i and log |w_i - w0_i|: below 0 if weights that have moved far take small steps

    `spread` and `moved` leave out weights that have not moved or have no gradient.
    """
    return Diagnostic(_step_size, every)


def _unmoved(params: Named, start: Named) -> dict[str, Tensor]:
    return {"": torch.stack([(p == start[name]).all() for name, p in params.items()]).to(torch.float32).sum()}


@harness.diagnostic
def unmoved(*, every: Every = 0) -> Diagnostic:
    """Number of trainable parameters that equal their initial values: no step has changed any of their elements.

    Compare it with `unreached`, the parameters that the loss does not depend on: a parameter with a gradient of zero
    is reached and does not move.
    """
    return Diagnostic(_unmoved, every)
