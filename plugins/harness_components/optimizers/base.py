"""What the optimizers have in common: the settings' types, and the base of those that torch lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.space import Log

Params = list[nn.Parameter]
Decay = Annotated[float, Log(1e-6, 1e-1), Ge(0), "weight decay, added to the gradient (an L2 penalty)"]
Decoupled = Annotated[float, Log(1e-4, 1), Ge(0), "share of a weight that lr = 1 takes off a step"]
Betas = tuple[Annotated[float, Interval(ge=0, lt=1)], Annotated[float, Interval(ge=0, lt=1)]]
Eps = Annotated[float, Log(1e-10, 1e-4), Gt(0)]

State = dict[str, Any]
Closure = Callable[[], Any]


class OneByOne(Optimizer):
    """Steps every parameter that has a gradient by `update`, which sees no other parameter.

    All that a step keeps is in the parameter's state and the group: so `state_dict` resumes exactly.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """One step; returns the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, p.grad, self.state[p], group)
        return loss

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """Steps a parameter in place by its gradient, which it leaves as it is."""
        raise NotImplementedError


def kept(state: State, name: str, p: Tensor) -> Tensor:
    """An entry of a parameter's state, of its shape, that starts at zero."""
    if name not in state:
        state[name] = torch.zeros_like(p)
    found = state[name]
    assert isinstance(found, Tensor)
    return found


def counted(state: State) -> int:
    """The number of this step of a parameter, from 1."""
    state["step"] = int(state.get("step", 0)) + 1
    return state["step"]


def moments(g: Tensor, state: State, betas: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Adam's averages of the gradient and of its square, this step's included."""
    m, v = kept(state, "m", g), kept(state, "v", g)
    m.lerp_(g, 1 - betas[0])
    v.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
    return m, v


class UncorrectedAdam(OneByOne):
    """Adam whose averages are taken as they are: `torch.optim.Adam` corrects them always."""

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · m / (sqrt(v) + ε)."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        m, v = moments(g, state, group["betas"])
        if group["amsgrad"]:
            v = torch.maximum(kept(state, "top", p), v, out=state["top"])
        p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])
