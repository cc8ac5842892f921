"""Declare a deep-learning experiment; run it once or ten thousand times; know whether the difference is real.

The public names are listed in `__init__.pyi`. Each is imported when it is first used: a plugin imports this module for
the decorators and base classes, and that does not import torch.
"""

import re
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness._compat import dynamo, torchmetrics
from harness.system.distribution import DISTRIBUTION
from harness.system.garbage import uncollected

torchmetrics.defer_imports()
dynamo.defer_import()
__version__ = version(DISTRIBUTION)

# {public name: the module that it is imported from}
_SOURCES = {
    name: f"{__name__}.{module}" if module else __name__
    for module, name in re.findall(
        r"^from \.([\w.]*) import (\w+) as",
        Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
}
__all__ = sorted(_SOURCES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    source = _SOURCES[name]
    with uncollected():
        found = {} if source == __name__ else vars(import_module(source))
        value = found[name] if name in found else import_module(f"{source}.{name}")
    globals()[name] = value
    return value


def source(name: str) -> str:
    """Return the module that a public name is imported from."""
    return _SOURCES[name]


def __dir__() -> list[str]:
    return [*globals(), *_SOURCES]
