"""Shared by the optimizers: types of settings, and the base class of those that torch lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.space import Log

Params = list[nn.Parameter]
Decay = Annotated[float, Log(1e-6, 1e-1), Ge(0), "L2 penalty: weight_decay · w is added to the gradient"]
Decoupled = Annotated[float, Log(1e-4, 1), Ge(0), "decoupled weight decay: each step subtracts lr · weight_decay · w"]
Betas = Annotated[
    tuple[Annotated[float, Interval(ge=0, lt=1)], Annotated[float, Interval(ge=0, lt=1)]],
    "decay rates of the averages",
]
Eps = Annotated[float, Log(1e-10, 1e-4), Gt(0), "added to the denominator"]

State = dict[str, Any]  # of one parameter, or of a parameter group
Closure = Callable[[], Any]


class PerParameter(Optimizer):
    """Base class of optimizers that update each parameter by its own gradient alone.

    Everything kept between steps is in the parameter's state or its group, so that `state_dict` resumes exactly.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Update every parameter that has a gradient; return the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    self.update(p, p.grad, state, group | self.numbers(state, group))
        return loss

    def numbers(self, state: State, group: State) -> dict[str, float]:
        """Return numbers that are others in each step, such as corrections of a bias; count the step in the state.

        They become entries of `group` in `update`. While recorded steps are replayed, this method is called, and
        `update` is not.
        """
        return {}

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """Update the parameter `p` in place by its gradient `g`, which must not be changed."""
        raise NotImplementedError


def buffer(state: State, name: str, p: Tensor) -> Tensor:
    """Return the entry `name` of a parameter's state: a tensor of the shape of `p`, zero at first."""
    if name not in state:
        state[name] = torch.zeros_like(p)
    value = state[name]
    assert isinstance(value, Tensor)
    return value


def next_step(state: State) -> int:
    """Count a step of a parameter; return its number, from 1."""
    state["step"] = int(state.get("step", 0)) + 1
    return state["step"]


def update_moments(g: Tensor, state: State, betas: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Update Adam's averages m of the gradient and v of its square; return both."""
    m, v = buffer(state, "m", g), buffer(state, "v", g)
    m.lerp_(g, 1 - betas[0])
    v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    return m, v


class UncorrectedAdam(PerParameter):
    """Adam without bias correction, which `torch.optim.Adam` cannot switch off."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · m / (sqrt(v) + ε)."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        m, v = update_moments(g, state, group["betas"])
        if group["amsgrad"]:
            v = torch.maximum(buffer(state, "top", p), v, out=state["top"])
        p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])


def iterates(optimizer: Callable[..., Optimizer], steps: int = 3, **settings: Any) -> list[float]:
    """Run an optimizer component on L(w) = w² / 2 from w = 1, for the examples of the optimizers.

    Args:
        optimizer: the component.
        steps: number of steps.
        settings: its settings and, where it takes one, its generator.

    Returns:
        The start and the weight after each step, rounded to 4 digits.
    """
    w = nn.Parameter(torch.ones(1, dtype=torch.float64))
    built = optimizer([w], **settings)

    def closure() -> Any:
        built.zero_grad()
        loss = w.square().sum() / 2
        loss.backward()
        return loss

    weights = [w.item()]
    for _ in range(steps):
        built.step(closure)
        weights.append(round(w.item(), 4))
    return weights
