"""A bridge to the pytorch-optimizer collection: its optimizers by name, made by inspection of what is installed.

`pytorch_optimizer_` and the collection's own word for it, which is the class's name in lower case:
pytorch_optimizer.AdaBelief is `pytorch_optimizer_adabelief`. No name is written here. What has no place in a run, or
does not work with the torch that is installed, is left out with its reason; without the package, all of it is.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import harness

PREFIX = "pytorch_optimizer_"
HINT = "the package pytorch_optimizer is not installed: pip install 'harness[optimizers]' brings it"


def _installed() -> bool:
    return find_spec("pytorch_optimizer") is not None


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    """Every optimizer of the collection that can be a component."""
    if not _installed():
        return []
    from harness_pytorch_optimizer import components

    return harness.marked(components)


@harness.hookimpl
def harness_left_out() -> dict[str, str]:
    """What cannot be a component by its code, and what was tried and does not work."""
    if not _installed():
        return {f"optimizer/{PREFIX}*": HINT}
    from harness_pytorch_optimizer import components, trial

    made = {component.__name__: component for component in harness.marked(components)}
    out = components.LEFT_OUT | trial.failures(made)
    return {f"optimizer/{name}": reason for name, reason in out.items()}
