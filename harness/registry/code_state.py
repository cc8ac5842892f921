"""Detect and restore the state that a component's code keeps in globals, class attributes and closures.

Such state belongs to the process: it couples runs that train side by side, and runs that train one after the other.
`CodeState` finds the state that the code of a component can reach by name, reports changes, and undoes them.
"""

from __future__ import annotations

import array
import collections
import contextvars
import functools
import gc
import inspect
import itertools
import pickle
import random
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Packages whose code is not a plugin's: their state does not influence a training step.
OPAQUE = {"torch", "numpy", "scipy", "sklearn", "pandas", "torchmetrics", "pytorch_lightning", "lightning", "harness"}
OPAQUE |= {"hydra", "omegaconf", "pluggy", "pytest", "_pytest", "builtins"} | {*sys.stdlib_module_names}
COMPONENTS = {"harness_components"}  # built-in components
OPAQUE |= COMPONENTS
_INSTANCES = {
    "collections",
    "weakref",
    "_weakrefset",
    "types",
    "functools",
    "argparse",
    "_thread",
}  # of these, instances may hold state
_INDIRECT = {"globals", "modules", "import_module", "__import__", "__dict__"}  # names that lead to any global
_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_METHODS = (types.FunctionType, staticmethod, classmethod, property, types.MemberDescriptorType)
_MISSING = object()


class _MutableState:
    """One piece of mutable state, with its first content.

    Args:
        path: Its name.
        read: Return a copy of the content.
        write: Replace the content.
        now: Return the content itself, which is compared at less cost; None to compare copies.
    """

    def __init__(
        self, path: str, read: Callable[[], Any], write: Callable[[Any], object], now: Callable[[], Any] | None = None
    ) -> None:
        self.path, self.write, self.now = path, write, now or read
        self.before = read()

    @property
    def changed(self) -> bool:
        return not _same(self.now(), self.before)

    def restore(self) -> None:
        if self.changed:
            self.write(self.before)


class CodeState:
    """The mutable state that some functions can reach, also by way of the functions and classes that they name.

    Args:
        roots: Functions, classes or objects to begin with.
        tensors: Include the numbers of tensors.
        opaque: Packages whose code is not followed.
    """

    def __init__(self, *roots: Any, tensors: bool = True, opaque: Set[str] = OPAQUE) -> None:
        self._states: list[_MutableState] = []
        self._visited: dict[tuple[int, frozenset[str]], Any] = {}
        self._named: set[tuple[int, str]] = set()
        self._tensors = tensors
        self._packages = {_package(root) for root in roots} - opaque
        self._queue: collections.deque[tuple[str, Any, frozenset[str]]] = collections.deque()
        for root in roots:
            self._queue.append((getattr(root, "__name__", type(root).__name__), root, frozenset()))
        while self._queue:
            self._visit(*self._queue.popleft())

    def changed(self) -> list[str]:
        """Return the names of the state that has changed since this object was made."""
        return [state.path for state in self._states if state.changed]

    def restore(self) -> None:
        """Restore the first content of everything, in place."""
        for state in self._states:
            state.restore()

    def _visit(self, path: str, item: Any, names: frozenset[str]) -> None:
        key = (id(item), names) if isinstance(item, types.ModuleType) else (id(item), frozenset())
        if isinstance(item, _PLAIN) or key in self._visited:
            return
        self._visited[key] = item  # keep it alive: another object could get its id
        if isinstance(item, types.FunctionType):
            self._function(path, item)
        elif isinstance(item, types.MethodType):
            self._follow({"": item.__func__, path: item.__self__})
        elif isinstance(item, (staticmethod, classmethod)):
            self._follow({path: item.__func__})
        elif isinstance(item, property):
            self._follow({path: item.fget, f"{path} (setter)": item.fset})
        elif isinstance(item, functools.partial):
            self._follow({path: item.func, **{f"{path}.{k}": v for k, v in item.keywords.items()}})
            self._follow({f"{path}[{i}]": v for i, v in enumerate(item.args)})
        elif isinstance(item, types.CellType):
            self._cell(path, item)
        elif inspect.isclass(item):
            self._class(path, item)
        elif isinstance(item, types.ModuleType):
            if self._is_plugin_code(item.__name__):
                self._namespace(item.__name__, item.__dict__, names)
        elif callable(getattr(item, "cache_info", None)) and callable(getattr(item, "cache_clear", None)):
            self._add(path, lambda: item.cache_info().currsize, lambda before: item.cache_clear())
            self._follow({path: item.__wrapped__, **{f"{path}, kept {i}": v for i, v in enumerate(_cached(item))}})
        else:
            self._data(path, item)

    def _is_plugin_code(self, module: str) -> bool:
        return module.partition(".")[0] in self._packages

    def _add(
        self, path: str, read: Callable[[], Any], write: Callable[[Any], object], now: Callable[[], Any] | None = None
    ) -> None:
        self._states.append(_MutableState(path, read, write, now))

    def _follow(self, items: Mapping[str, Any], names: frozenset[str] = frozenset()) -> None:
        self._queue.extend((path, item, names) for path, item in items.items())

    def _function(self, path: str, function: types.FunctionType) -> None:
        if not self._is_plugin_code(function.__module__ or ""):
            inner = getattr(function, "__wrapped__", None)
            if inner is not None:
                self._follow({path: inner})
            return
        self._mapping(f"{path}.__dict__", function.__dict__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self._follow({name: cell})
        defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        self._follow({f"a default of {path}": tuple(defaults)})
        names = frozenset(name for code in _nested(function.__code__) for name in code.co_names)
        if self._is_plugin_code(module := str(function.__globals__.get("__name__", ""))):  # skip a wrapper's module
            self._namespace(module, function.__globals__, names)

    def _namespace(self, module: str, namespace: dict[str, Any], names: frozenset[str]) -> None:
        """Add the globals of a module that some code names, or all of them if it may reach them in another way."""
        reaches_all = bool(names & _INDIRECT)
        reachable = [n for n in (namespace if reaches_all else names) if not n.startswith("__")]
        for name in reachable:
            value = namespace.get(name, _MISSING)
            if not isinstance(value, types.ModuleType) and (id(namespace), name) not in self._named:
                self._named.add((id(namespace), name))
                write = functools.partial(_set, namespace, name)
                self._add(f"{module}.{name}", functools.partial(namespace.get, name, _MISSING), write)
            if value is not _MISSING:
                self._follow({f"{module}.{name}": value}, names)

    def _cell(self, path: str, cell: types.CellType) -> None:
        def read() -> Any:
            try:
                return cell.cell_contents
            except ValueError:  # it is empty
                return _MISSING

        def write(value: Any) -> None:
            if value is _MISSING:
                del cell.cell_contents
            else:
                cell.cell_contents = value

        self._add(path, read, write)
        self._follow({path: read()})

    def _class(self, path: str, cls: type) -> None:
        package = (cls.__module__ or "").partition(".")[0]
        if issubclass(cls, torch.optim.Optimizer) and package not in OPAQUE:
            self._packages.add(package)
        if not self._is_plugin_code(cls.__module__ or ""):
            return

        def write(before: dict[str, Any]) -> None:
            for name in _attributes(cls).keys() - before.keys():
                delattr(cls, name)
            for name, value in before.items():
                if not _alike(cls.__dict__.get(name, _MISSING), value):
                    setattr(cls, name, value)

        self._add(f"{cls.__module__}.{cls.__qualname__}", lambda: _attributes(cls), write)
        self._follow({f"{cls.__qualname__}.{name}": value for name, value in vars(cls).items()})
        self._follow({base.__qualname__: base for base in (*cls.__bases__, type(cls))})

    def _data(self, path: str, item: Any) -> None:
        if isinstance(item, dict):
            self._mapping(path, item)
        elif isinstance(item, (list, collections.deque)):
            self._add(path, lambda: list(item), functools.partial(_refill, item))
            self._follow({f"{path}[{i}]": value for i, value in enumerate(item)})
        elif isinstance(item, set):
            self._add(path, lambda: set(item), functools.partial(_refill, item))
        elif isinstance(item, (tuple, frozenset)):
            self._follow({f"{path}[{i}]": value for i, value in enumerate(item)})
        elif isinstance(item, Tensor):
            if self._tensors:
                self._add(path, lambda: item.detach().clone(), item.data.copy_)
        elif isinstance(item, np.ndarray):
            self._add(path, item.copy, functools.partial(np.copyto, item))
        elif isinstance(item, torch.Generator):
            self._add(path, item.get_state, item.set_state)
        elif isinstance(item, random.Random):
            self._add(path, item.getstate, item.setstate)
        elif isinstance(item, (np.random.Generator, np.random.RandomState)):
            face = np.random.RandomState(item.bit_generator) if isinstance(item, np.random.Generator) else item
            take = functools.partial(face.get_state, legacy=False)
            self._add(path, lambda: pickle.dumps(take()), lambda before: face.set_state(pickle.loads(before)))
        elif isinstance(item, contextvars.ContextVar):
            self._add(path, functools.partial(_value, item), lambda before: before is _MISSING or item.set(before))
        elif isinstance(item, (array.array, bytearray)):
            self._add(path, lambda: bytes(item), functools.partial(_overwrite, item))
        elif isinstance(item, (itertools.count, types.GeneratorType)):
            self._add(path, functools.partial(_place, item), lambda _: None)
        elif isinstance(item, nn.Module):
            self._mapping(path, item.__dict__, ".")
            self._follow({path: type(item)})
        elif (package := type(item).__module__.partition(".")[0]) in _INSTANCES or self._is_plugin_code(package):
            if isinstance(held := getattr(item, "__dict__", None), dict):
                self._mapping(path, held, ".")
            self._slots(path, item)
            self._follow({path: type(item)})

    def _slots(self, path: str, item: Any) -> None:
        """The attributes of an own object that stand in no `__dict__`."""
        for cls in type(item).__mro__ if self._is_plugin_code(type(item).__module__) else ():
            for name, place in vars(cls).items():
                if isinstance(place, types.MemberDescriptorType):
                    take = functools.partial(getattr, item, name, _MISSING)
                    self._add(f"{path}.{name}", take, functools.partial(_set_slot, item, name))
                    self._follow({f"{path}.{name}": take()})

    def _mapping(self, path: str, item: dict[Any, Any], join: str = "") -> None:
        self._add(path, lambda: dict(item), functools.partial(_refill, item), lambda: item)
        names = (place if isinstance(key, Tensor) else key for place, key in enumerate(item))  # its numbers are long
        shown = (lambda name: f"{path}.{name}") if join else (lambda name: f"{path}[{name!r}]")
        self._follow({shown(name): value for name, value in zip(names, item.values(), strict=True)})


def _package(root: Any) -> str:
    module = getattr(inspect.unwrap(root) if callable(root) else type(root), "__module__", None) or ""
    return str(module).partition(".")[0]


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _attributes(cls: type) -> dict[str, Any]:
    """Return the attributes of a class without its methods: torch wraps an optimizer's methods at its first use."""
    attributes = {name: value for name, value in vars(cls).items() if not name.startswith(("__", "_abc_"))}
    return {name: value for name, value in attributes.items() if not isinstance(value, _METHODS)}


def _set(namespace: dict[str, Any], name: str, value: Any) -> None:
    if value is _MISSING:
        namespace.pop(name, None)
    else:
        namespace[name] = value


def _set_slot(item: Any, name: str, value: Any) -> None:
    if value is not _MISSING:
        setattr(item, name, value)
    elif hasattr(item, name):
        delattr(item, name)


def _cached(function: Any) -> list[Any]:
    """Return the mutable values in a cache of functools."""
    found = gc.get_referents(function)
    values = [value for held in found if isinstance(held, dict) for value in held.values()]
    found = [value for value in found if not isinstance(value, dict)] + values  # not the cache itself
    return [value for value in found if isinstance(value, (dict, list, set, collections.deque, Tensor, np.ndarray))]


def _value(variable: contextvars.ContextVar[Any]) -> Any:
    try:
        return variable.get()
    except LookupError:  # it is not set, and has no default
        return _MISSING


def _overwrite(item: Any, content: bytes) -> None:
    item[:] = type(item)(item.typecode, content) if isinstance(item, array.array) else content


def _place(iterator: Any) -> str:
    """Return the position of an iterator, which cannot be restored."""
    if isinstance(iterator, types.GeneratorType):
        frame = iterator.gi_frame
        return "at its end" if frame is None else repr((frame.f_lasti, frame.f_locals))
    return repr(iterator)


def _refill(item: Any, content: Any) -> None:
    item.clear()
    if isinstance(item, (dict, set)):
        item.update(content)
    else:
        item.extend(content)


def _same(a: Any, b: Any) -> bool:
    """Return True if two contents are equal, comparing the objects in a container by identity.

    Those objects are states of their own.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        if len(a) != len(b):
            return False
        for key, value in a.items():
            other = b.get(key, _MISSING)
            if other is not value and not _alike(other, value):
                return False
        return True
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | (a.isnan() & b.isnan())).all())
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and a.tobytes() == b.tobytes()
    return _alike(a, b)


def _alike(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if type(a) is not type(b) or not isinstance(a, (*_PLAIN, tuple, set, frozenset)):
        return False
    return bool(a == b) or repr(a) == repr(b)


_first: dict[Any, CodeState] = {}


def first_state(function: Callable[..., Any]) -> CodeState | None:
    """Return the state of a component's code at the first call of this function; None for built-in components.

    Call it before the component is first used in this process, and restore it before each run.
    """
    if not is_plugin(function):
        return None
    if function not in _first:
        _first[function] = CodeState(function)
    return _first[function]


def is_plugin(function: Callable[..., Any]) -> bool:
    """Return True if a component is not built in."""
    return _package(function) not in OPAQUE
