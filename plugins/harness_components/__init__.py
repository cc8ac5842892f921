"""The built-in components, a plugin like any other: one module for each kind, found by being here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import harness


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    """Every marked function of every module of this package."""
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    return [component for module in modules for component in harness.marked(module)]


@harness.hookimpl
def harness_left_out() -> dict[str, str]:
    """The classes of torch that cannot be components."""
    from harness_components import torch_bridge

    return torch_bridge.left_out()
