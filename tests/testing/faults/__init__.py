"""A plugin of planted faults, and of what is right beside them. Each is small, and wrong in one way."""

from __future__ import annotations

from typing import Any

import harness

from . import company, functions, kept, objects
from .marks import EXPECTED

__all__ = ["EXPECTED"]


@harness.hookimpl
def harness_components() -> list[Any]:
    """The right ones, and the wrong ones."""
    return [component for module in (company, kept, functions, objects) for component in harness.marked(module)]
