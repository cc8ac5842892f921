"""Optimizers that evaluate the loss themselves: their `step` is given a function that computes loss and gradients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator, Tensor
from torch.optim import Optimizer

import harness
from harness import seeds
from harness.space import Choice, Integers, Log
from harness_components.optimizers.base import Closure, Decay, OneByOne, Params, State, kept


@harness.optimizer(
    reference="Liu, Nocedal, On the limited memory BFGS method for large scale optimization, Math. Programming 1989",
    full_batch=True,
    closure=True,
)
def lbfgs(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-2, 1), Gt(0)] = 1.0,
    max_iter: Annotated[int, Integers(1, 50), Interval(ge=1, le=10_000), "iterations of a step"] = 20,
    history_size: Annotated[int, Integers(2, 100), Interval(ge=1, le=10_000)] = 10,
    line_search: Literal["strong_wolfe", "none"] = "strong_wolfe",
) -> Optimizer:
    """Quasi-Newton steps whose curvature is learned from the last differences of gradients.

    w ← w - t · H g, with H ≈ ∇²L⁻¹ by BFGS from the last history_size pairs (Δw, Δg), and t by a search along the line
    for the strong Wolfe conditions, or t = lr. For full batches: it takes L for one function.
    """
    search = None if line_search == "none" else line_search
    return torch.optim.LBFGS(params, lr, max_iter=max_iter, history_size=history_size, line_search_fn=search)


class SAM(OneByOne):
    """SGD by the gradient of the worst point nearby."""

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Two evaluations of the loss; returns the first, at the weights themselves."""
        if closure is None:
            raise RuntimeError("sam wants a closure: it evaluates the loss twice a step")
        with torch.enable_grad():
            loss = closure()
        steps = [(p, p.grad, group) for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not steps:
            return loss
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for _, g, _ in steps]))
        before = [p.detach().clone() for p, _, _ in steps]
        for p, g, group in steps:
            p.add_(g * (group["rho"] / (norm + 1e-12)))
        with torch.enable_grad():
            closure()
        for (p, _, _), w in zip(steps, before, strict=True):
            p.copy_(w)
        super().step()
        return loss

    def update(self, p: Tensor, g: Tensor, state: State, group: State) -> None:
        """w ← w - lr · v, v ← momentum · v + g."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        p.add_(kept(state, "v", p).mul_(group["momentum"]).add_(g), alpha=-group["lr"])


@harness.optimizer(
    reference="Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization, ICLR 2021, arXiv:2010.01412, alg. 1",
    closure=True,
)
def sam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0)] = 0.1,
    rho: Annotated[float, Log(1e-3, 1), Ge(0), "how far away the worst point is looked for"] = 0.05,
    momentum: Annotated[float, Choice(0.0, 0.9), Interval(ge=0, lt=1)] = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Sharpness-aware minimization: SGD by the gradient of the worst point nearby, for flat minima.

    g = ∇L(w + rho · ∇L(w) / |∇L(w)|);  v ← momentum · v + g;  w ← w - lr · v. Two evaluations a step.
    """
    return SAM(params, lr=lr, rho=rho, momentum=momentum, weight_decay=weight_decay)


class RandomSearch(Optimizer):
    """Tries points nearby, and goes to the best if it is better. What is drawn is a function of seed and step."""

    def __init__(self, params: Params, lr: float, candidates: int, generator: Generator) -> None:
        super().__init__(params, {"lr": lr, "candidates": candidates, "step": 0})
        for group in self.param_groups:
            group["seed"] = int(torch.randint(1 << 62, (), generator=generator))

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """One evaluation of the loss for each candidate and one at the weights themselves, which it returns."""
        if closure is None:
            raise RuntimeError("random_search wants a closure: it compares losses")
        params = [p for group in self.param_groups for p in group["params"]]
        start = [p.detach().clone() for p in params]
        with torch.enable_grad():  # a closure of torch's usual form goes backward
            loss = closure()
        # Tensors of one number on the device: a comparison must not wait for it
        best, least = start, torch.as_tensor(loss).detach()
        for group in self.param_groups:
            group["step"] += 1
        for candidate in range(self.defaults["candidates"]):
            tried = self._drawn(start, candidate)
            self._put(params, tried)
            with torch.enable_grad():
                found = torch.as_tensor(closure()).detach()
            better = found < least  # false for what is not a number
            best = [torch.where(better, new, old) for new, old in zip(tried, best, strict=True)]
            least = torch.where(better, found, least)
        self._put(params, best)
        return loss

    def _drawn(self, start: list[Tensor], candidate: int) -> list[Tensor]:
        found, rest = [], iter(start)
        for group in self.param_groups:
            draw = seeds.generator(group["seed"], group["step"], candidate)
            for _ in group["params"]:
                w = next(rest)
                noise = torch.randn(w.shape, generator=draw, dtype=w.dtype).to(w.device)
                found.append(w.add(noise, alpha=group["lr"]))
        return found

    @staticmethod
    def _put(params: list[Tensor], values: list[Tensor]) -> None:
        for p, value in zip(params, values, strict=True):
            p.copy_(value)


@harness.optimizer(
    reference="Rastrigin, The convergence of the random search method, Automation and Remote Control 1963",
    closure=True,
    gradient=False,
)
def random_search(
    params: Params,
    generator: Generator,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "standard deviation of a try, in every direction"] = 0.01,
    candidates: Annotated[int, Integers(1, 64, log=True), Interval(ge=1, le=100_000), "tries a step"] = 8,
) -> Optimizer:
    """Tries points nearby at random, and goes to the best one if it is better: no gradient is used.

    w' = w + lr · ξ, ξ ~ N(0, 1), candidates times;  w ← the w' of least L, if L(w') < L(w).
    """
    return RandomSearch(params, lr, candidates, generator)
