"""A small least-squares problem for optimizers, with a curvature near one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from harness.modeling.builder import check_closure
from harness.system.errors import one_line
from harness.testing.component_case import Case, Fault, drawn

STEPS = 40


class LeastSquares:
    """L(W, b) = mean (x Wᵀ + b - y)², minimized as in a run, with a closure if the optimizer needs one."""

    def __init__(self, case: Case, dtype: torch.dtype = torch.float32, unused: bool = False) -> None:
        self.case = case
        self.named = {
            "weight": nn.Parameter(drawn((4, 3), "weight", dtype=dtype)),
            "bias": nn.Parameter(drawn((4,), "bias", dtype=dtype)),
        }
        if unused:
            self.named["unused"] = nn.Parameter(drawn((2, 2), "unused", dtype=dtype))
        self.x, self.y = drawn((24, 3), "x", dtype=dtype), drawn((24, 4), "y", dtype=dtype)
        self.optimizer = self._make_optimizer()
        self.gradient = bool(case.trait("gradient", True))
        self.closure = bool(case.trait("closure", False)) or not self.gradient
        check_closure(case.name, self.optimizer, self.closure)

    @property
    def params(self) -> list[nn.Parameter]:
        return list(self.named.values())

    def _make_optimizer(self) -> torch.optim.Optimizer:
        optimizer = self.case.make(params=self.params, named_params=list(self.named.items()), total_steps=STEPS)
        self.mode(optimizer, "train")
        return optimizer

    @staticmethod
    def mode(optimizer: Any, name: str) -> None:
        """Switch an optimizer that has a training and an evaluation mode."""
        switch = getattr(optimizer, name, None)
        if callable(switch):
            switch()

    def loss(self) -> Tensor:
        return (self.x @ self.named["weight"].mT + self.named["bias"] - self.y).square().mean()

    def evaluated(self) -> float:
        """Return the loss of the weights in evaluation mode."""
        self.mode(self.optimizer, "eval")
        with torch.no_grad():
            loss = float(self.loss())
        self.mode(self.optimizer, "train")
        return loss

    def steps(self, count: int) -> None:
        """Make a number of steps."""
        for _ in range(count):
            if self.closure:
                self.optimizer.step(self._evaluate)  # type: ignore[arg-type]
            else:
                self._evaluate()
                self._step()

    def _step(self) -> None:
        try:
            self.optimizer.step()
        except Exception as error:
            if "closure" in str(error):
                raise Fault(f"its step needs a closure ({one_line(error)}): declare it with closure=True") from error
            raise

    def _evaluate(self) -> Tensor:
        with torch.set_grad_enabled(self.gradient):
            loss = self.loss()
        if self.gradient:
            grads = torch.autograd.grad(loss, self.params, allow_unused=True)
            for p, g in zip(self.params, grads, strict=True):
                p.grad = g
        return loss.detach()

    def weights(self) -> list[Tensor]:
        """Return copies of the parameters."""
        return [p.detach().clone() for p in self.params]

    def resume(self, weights: list[Tensor], state: dict[str, Any]) -> None:
        """Continue from weights and an optimizer's state, with a new optimizer."""
        with torch.no_grad():
            for p, weight in zip(self.params, weights, strict=True):
                p.copy_(weight)
        self.optimizer = self._make_optimizer()
        self.optimizer.load_state_dict(state)
