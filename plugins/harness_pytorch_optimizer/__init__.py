"""Bridge to the pytorch-optimizer collection: its optimizers as components, by inspection of the installed version.

Names are `pytorch_optimizer_` and the class's name in lower case, as in the collection: pytorch_optimizer.AdaBelief is
`pytorch_optimizer_adabelief`. No name is listed here. Classes that cannot be components, or that fail with the
installed torch, are left out with the reason; without the package, all are.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import harness

PREFIX = "pytorch_optimizer_"
HINT = "the package pytorch_optimizer is not installed: pip install 'dl-harness[optimizers]'"


def _installed() -> bool:
    return find_spec("pytorch_optimizer") is not None


@harness.hookimpl
def harness_components() -> list[Callable[..., Any]]:
    """Return every optimizer of the collection that can be a component."""
    if not _installed():
        return []
    from harness_pytorch_optimizer import components

    return harness.marked(components)


@harness.hookimpl
def harness_left_out() -> dict[str, str]:
    """Return the classes that cannot be components by their code, and those that fail."""
    if not _installed():
        return {f"optimizer/{PREFIX}*": HINT}
    from harness_pytorch_optimizer import components, trial

    marked = {component.__name__: component for component in harness.marked(components)}
    out = components.LEFT_OUT | trial.failures(marked)
    return {f"optimizer/{name}": reason for name, reason in out.items()}
