"""Optimizers that evaluate the loss themselves: `step` takes a function that computes the loss and its gradients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Interval
from torch import Generator, Tensor
from torch.optim import Optimizer

import harness
from harness import seeds
from harness.space import Choice, Integers, Log
from harness_components.optimizers.base import Closure, Decay, Params, PerParameter, State, buffer


@harness.optimizer(
    reference="Liu, Nocedal, On the limited memory BFGS method for large scale optimization, Math. Programming 1989",
    full_batch=True,
    closure=True,
)
def lbfgs(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-2, 1), Gt(0), "first step length that the line search tries, or the fixed one"] = 1.0,
    max_iter: Annotated[int, Integers(1, 50), Interval(ge=1, le=10_000), "iterations in a step"] = 20,
    history_size: Annotated[int, Integers(2, 100), Interval(ge=1, le=10_000), "pairs (Δw, Δg) that are kept"] = 10,
    line_search: Annotated[
        Literal["strong_wolfe", "none"], "step length t by the strong Wolfe conditions, or fixed at lr"
    ] = "strong_wolfe",
) -> Optimizer:
    """Limited-memory BFGS: quasi-Newton steps with a line search.

    With g the gradient of the loss over the whole training split:

        w ← w - t · H g

    H approximates the inverse Hessian by the BFGS formula from the last `history_size` pairs (Δw, Δg); t satisfies the
    strong Wolfe conditions, or is `lr` with line_search=none. One step is up to `max_iter` iterations.

    Don't use it with dropout, augmentation or other noise: its pairs must come from one deterministic function.

    The iterates on L(w) = w² / 2 from w = 1, whose minimum is one step away:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(lbfgs, steps=1)
    [1.0, 0.0]
    """
    search = None if line_search == "none" else line_search
    return torch.optim.LBFGS(params, lr, max_iter=max_iter, history_size=history_size, line_search_fn=search)


class SAM(PerParameter):
    """SGD with the gradient at perturbed weights, the steepest way up at distance rho."""

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Evaluate the loss twice and update; return the loss at the unperturbed weights."""
        if closure is None:
            raise RuntimeError("sam evaluates the loss twice in a step: call step(closure)")
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
        """v ← μ v + g;  w ← w - lr · v."""
        if group["weight_decay"]:
            g = g.add(p, alpha=group["weight_decay"])
        p.add_(buffer(state, "v", p).mul_(group["momentum"]).add_(g), alpha=-group["lr"])


@harness.optimizer(
    reference="Foret, Kleiner, Mobahi, Neyshabur, Sharpness-aware minimization, ICLR 2021, arXiv:2010.01412, alg. 1",
    closure=True,
)
def sam(
    params: Params,
    *,
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "learning rate"] = 0.1,
    rho: Annotated[float, Log(1e-3, 1), Ge(0), "distance of the perturbed weights"] = 0.05,
    momentum: Annotated[float, Choice(0.0, 0.9), Interval(ge=0, lt=1), "momentum coefficient μ"] = 0.9,
    weight_decay: Decay = 0.0,
) -> Optimizer:
    """Sharpness-aware minimization: SGD with the gradient at the worst point nearby, which favours flat minima.

    With μ = `momentum`:

        g = ∇L(w + rho · ∇L(w) / |∇L(w)|)
        v ← μ v + g
        w ← w - lr · v

    A step costs two evaluations of loss and gradient.

    The iterates on L(w) = w² / 2 from w = 1:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(sam, lr=0.1, rho=0.05, momentum=0.0)
    [1.0, 0.895, 0.8005, 0.7155]
    """
    return SAM(params, lr=lr, rho=rho, momentum=momentum, weight_decay=weight_decay)


class RandomSearch(Optimizer):
    """Random local search; the draws are a function of the seed and the step."""

    def __init__(self, params: Params, lr: float, candidates: int, generator: Generator) -> None:
        super().__init__(params, {"lr": lr, "candidates": candidates, "step": 0})
        for group in self.param_groups:
            group["seed"] = int(torch.randint(1 << 62, (), generator=generator))

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """Evaluate the loss at the weights and at each candidate, move to the best; return the loss at the weights."""
        if closure is None:
            raise RuntimeError("random_search compares losses: call step(closure)")
        params = [p for group in self.param_groups for p in group["params"]]
        start = [p.detach().clone() for p in params]
        with torch.enable_grad():  # a closure usually calls backward()
            loss = closure()
        # Compare on the device: reading a number would wait for it
        best, least = start, torch.as_tensor(loss).detach()
        for group in self.param_groups:
            group["step"] += 1
        for candidate in range(self.defaults["candidates"]):
            point = self._draw(start, candidate)
            self._set(params, point)
            with torch.enable_grad():
                value = torch.as_tensor(closure()).detach()
            better = value < least  # False where the loss is nan
            best = [torch.where(better, new, old) for new, old in zip(point, best, strict=True)]
            least = torch.where(better, value, least)
        self._set(params, best)
        return loss

    def _draw(self, start: list[Tensor], candidate: int) -> list[Tensor]:
        point, rest = [], iter(start)
        for group in self.param_groups:
            generator = seeds.generator(group["seed"], group["step"], candidate)
            for _ in group["params"]:
                w = next(rest)
                noise = torch.randn(w.shape, generator=generator, dtype=w.dtype).to(w.device)
                point.append(w.add(noise, alpha=group["lr"]))
        return point

    @staticmethod
    def _set(params: list[Tensor], values: list[Tensor]) -> None:
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
    lr: Annotated[float, Log(1e-4, 1), Gt(0), "standard deviation σ of a candidate's distance in each weight"] = 0.01,
    candidates: Annotated[int, Integers(1, 64, log=True), Interval(ge=1, le=100_000), "candidates in a step"] = 8,
) -> Optimizer:
    """Random local search: draw candidates near the weights and move to the best if it is better. Uses no gradient.

    With ξ ~ N(0, 1) drawn anew for each weight and candidate:

        w' = w + lr · ξ, for each of `candidates` candidates
        w ← the w' of least loss, if L(w') < L(w)

    A baseline: the cost of a given progress grows with the number of parameters.

    The iterates on L(w) = w² / 2 from w = 1 never go up:

    >>> from harness_components.optimizers.base import iterates
    >>> iterates(random_search, lr=0.1, generator=seeds.generator(0))
    [1.0, 0.8355, 0.7827, 0.5892]
    """
    return RandomSearch(params, lr, candidates, generator)
