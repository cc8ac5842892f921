"""torchmetrics: imported without scipy.signal and matplotlib. Seen on torchmetrics 1.9.

torchmetrics imports both at once, for a patch of scipy and for plots, which takes more than a second of every command.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

DEFERRED = ("scipy.signal", "matplotlib", "matplotlib.axes", "matplotlib.pyplot")


class _Anything(type):
    """The class of stand-ins for whatever torchmetrics takes from a deferred module when it is imported.

    Those are classes for annotations, and `matplotlib.pyplot.style.context("default")` as a decorator of its plots, of
    which the stand-in changes nothing.
    """

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return lambda function: function


class _Deferred(ModuleType):
    """Stands for a module while torchmetrics is imported, and imports the module when it is used later."""

    deferring = True

    def __getattr__(self, name: str) -> Any:
        if not self.deferring:
            return getattr(importlib.import_module(self.__name__), name)
        if name.startswith("__"):
            raise AttributeError(name)
        full = f"{self.__name__}.{name}"
        return sys.modules[full] if full in DEFERRED else _Anything(name, (), {})


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute torchmetrics beside deferred modules, unless they have been imported before."""
        deferred = {name: _Deferred(name) for name in DEFERRED if name not in sys.modules}
        if "matplotlib" in sys.modules:  # a part of it must not be another module than the rest has
            deferred = {name: stand_in for name, stand_in in deferred.items() if not name.startswith("matplotlib")}
        sys.modules |= deferred
        try:
            self.loader.exec_module(module)
        finally:
            for name, stand_in in deferred.items():
                stand_in.deferring = False
                if sys.modules.get(name) is stand_in:
                    del sys.modules[name]
            scipy = sys.modules.get("scipy")
            if "scipy.signal" in deferred and scipy is not None:
                vars(scipy).pop("signal", None)  # the import system has put the stand-in there


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchmetrics":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def defer_imports() -> None:
    """Defer the modules when torchmetrics is imported, if it has not been yet."""
    if "torchmetrics" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
