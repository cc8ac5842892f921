"""Try each optimizer of the collection for a few steps, to find those that fail with the installed torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness import HarnessError, one_line
from harness import component as marking
from harness_pytorch_optimizer.chance import drawing

TRIED = 3  # steps
GIVEN: dict[type, Any] = {int: 100, float: 0.1}  # values for settings without a default


def failures(components: Mapping[str, Callable[..., Any]]) -> dict[str, str]:
    """Return {name: why} for the optimizers that fail."""
    with drawing(0, torch.device("cpu")), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reasons = {name: _failure(component) for name, component in components.items()}
    return {name: reason for name, reason in reasons.items() if reason}


def _failure(component: Callable[..., Any]) -> str:
    try:
        return _tried(component)
    except HarnessError as error:
        return f"it cannot be made: {error}"
    except Exception as error:
        return f"a step of it fails: {one_line(error)}"


def _tried(component: Callable[..., Any]) -> str:
    """Return what is wrong after a few steps, or ""."""
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((6, 4), (4,), (3, 2, 3, 3), ())]
    offers = {"params": params, "total_steps": 10, "generator": generator}
    required = {p.name: GIVEN[_bare(p.hint)] for p in marking.parameters(component) if p.required}
    optimizer = component(*(offers[name] for name in marking.asks(component)), **required)

    def loss() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            value = sum(((p**2).sum() for p in params), torch.zeros(()))
        value.backward()
        return value.detach()

    mark = marking.mark_of(component)
    for _ in range(TRIED):
        if mark is not None and mark.traits.get("closure"):
            optimizer.step(loss)
        else:
            loss()
            optimizer.step()
        if "lr" not in optimizer.param_groups[0]:
            return "it has no learning rate that a scheduler could set"
    return "" if all(bool(torch.isfinite(p).all()) for p in params) else "its steps lead to nan"


def _bare(hint: Any) -> Any:
    return getattr(hint, "__origin__", hint)
