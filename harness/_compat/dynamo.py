"""torch._dynamo, torch's compiler: imported when something compiles. Seen on torch 2.13 and pytorch-lightning 2.6.

Lightning imports it for a class to compare with, and optimizers for functions that do nothing outside of a compiled
function. Its import takes as long as torch's own. `defer_import` puts a stand-in into its place; any other use of it
imports it. Without this, every command that trains takes longer to start.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType, ModuleType
from typing import Any

NAME = "torch._dynamo"
SEEN = "2.13."  # version of torch


class _Compiled(type):
    """The class of the stand-in for `OptimizedModule`: an instance of it is one of the real class."""

    def __instancecheck__(cls, instance: Any) -> bool:
        real = sys.modules.get(NAME)
        return real is not None and not isinstance(real, _StandIn) and isinstance(instance, real.OptimizedModule)


class OptimizedModule(metaclass=_Compiled):
    """Stands for the class of modules that `torch.compile` returns."""


class _StandIn(ModuleType):
    """Stands for torch._dynamo as long as nothing compiles."""

    OptimizedModule = OptimizedModule

    def graph_break(self, msg: str = "") -> None:
        """Do nothing, as outside of a compiled function."""

    def disable(self, fn: Any = None, recursive: bool = True, **settings: Any) -> Any:
        """Return a function that is disabled by torch._dynamo once that is imported; nothing compiles before."""
        if not isinstance(fn, FunctionType):
            return self.import_real().disable(fn, recursive, **settings)
        disabled: list[Callable[..., Any]] = []

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            if sys.modules.get(NAME) is self:
                return fn(*args, **kwargs)
            if not disabled:
                disabled.append(self.import_real().disable(fn, recursive, **settings))
            return disabled[0](*args, **kwargs)

        return call

    def import_real(self) -> Any:
        """Import torch._dynamo in place of this stand-in, if that has not been done, and return it."""
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
            vars(sys.modules["torch"]).pop("_dynamo", None)
        return importlib.import_module(NAME)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.import_real(), name)


class _StandInLoader(Loader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the stand-in as it is."""


class _SubmoduleLoader(Loader):
    """Imports torch._dynamo before one of its modules; that may import the module, which is then not executed again."""

    def __init__(self, stand_in: _StandIn, spec: ModuleSpec) -> None:
        self.stand_in, self.spec = stand_in, spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        self.stand_in.import_real()
        self.imported = sys.modules.get(spec.name)
        return self.imported or importlib.util.module_from_spec(self.spec)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__spec__"] = self.spec  # the modules of settings refuse `setattr`
        if self.imported is None:
            assert self.spec.loader is not None
            self.spec.loader.exec_module(module)


class _Finder(MetaPathFinder):
    deferred = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == NAME and not self.deferred and getattr(sys.modules["torch"], "__version__", "").startswith(SEEN):
            self.deferred = True  # the second time, it is the real one that is wanted
            spec = ModuleSpec(NAME, _StandInLoader(), is_package=True)
            real = PathFinder.find_spec(NAME, path)
            spec.submodule_search_locations = real.submodule_search_locations if real else None
            return spec
        stand_in = sys.modules.get(NAME)
        if fullname.startswith(f"{NAME}.") and isinstance(stand_in, _StandIn):
            real = PathFinder.find_spec(fullname, path)
            return real and ModuleSpec(fullname, _SubmoduleLoader(stand_in, real), origin=real.origin)
        return None


def defer_import() -> None:
    """Defer the import of torch._dynamo, if it has not been imported yet."""
    if NAME not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
