"""The built-in components, in a package for each kind; registered as a plugin like any other."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import harness

_TABLES = f"{__name__}.data.tables."  # modules that import pandas, and of which `components` alone has components


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    """Return the marked functions of all modules of this package."""
    names = [module.name for module in walk_packages(__path__, f"{__name__}.")]
    modules = (import_module(name) for name in names if not name.startswith(_TABLES) or name.endswith(".components"))
    return [component for module in modules for component in harness.marked(module)]


@harness.hookimpl
def harness_left_out() -> dict[str, str]:
    """Return the classes of torch and Lightning that cannot be components, with the reasons."""
    from harness_components.bridges import lightning_bridge, torch_bridge

    return torch_bridge.left_out() | lightning_bridge.left_out()
