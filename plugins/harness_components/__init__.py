"""The built-in components, a plugin like any other: one package for each kind, found by being here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import harness


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    """Every marked function of every module of this package."""
    modules = (import_module(module.name) for module in walk_packages(__path__, f"{__name__}."))
    return [component for module in modules for component in harness.marked(module)]


@harness.hookimpl
def harness_left_out() -> dict[str, str]:
    """The classes of torch that cannot be components."""
    from harness_components.bridges import torch_bridge

    return torch_bridge.left_out()
