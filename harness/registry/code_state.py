"""The state that a component's code keeps outside of the objects it makes: globals, class attributes, closures.

Such state belongs to the process: it couples runs that train side by side, and those that train one after the other.
`CodeState` reads what the code of a component can reach by name, tells what has changed, and puts it back.
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
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Packages whose code is not a plugin's: what they keep does not decide a step.
OPAQUE = {"torch", "numpy", "scipy", "sklearn", "pandas", "torchmetrics", "pytorch_lightning", "lightning", "harness"}
OPAQUE |= {"harness_components", "hydra", "omegaconf", "pluggy", "pytest", "_pytest", "builtins"} | {
    *sys.stdlib_module_names
}
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


class _Held:
    """Something that can change, with its content when it was first seen."""

    def __init__(self, path: str, take: Callable[[], Any], put: Callable[[Any], object]) -> None:
        self.path, self.take, self.put = path, take, put
        self.before = take()

    @property
    def changed(self) -> bool:
        return not _same(self.take(), self.before)

    def restore(self) -> None:
        if self.changed:
            self.put(self.before)


class CodeState:
    """All that the code of some functions, and of the classes and functions that it names, can change outside of the
    objects that it makes.

    Args:
        roots: functions, classes or objects to begin with.
    """

    def __init__(self, *roots: Any) -> None:
        self.held: list[_Held] = []
        self._seen: dict[tuple[int, frozenset[str]], Any] = {}
        self._named: set[tuple[int, str]] = set()
        self._packages = {_package(root) for root in roots} - OPAQUE
        self._queue: collections.deque[tuple[str, Any, frozenset[str]]] = collections.deque()
        for root in roots:
            self._queue.append((getattr(root, "__name__", type(root).__name__), root, frozenset()))
        while self._queue:
            self._visit(*self._queue.popleft())

    def changed(self) -> list[str]:
        """The names of what is not as it was."""
        return [held.path for held in self.held if held.changed]

    def restore(self) -> None:
        """Puts everything back as it was, in place."""
        for held in self.held:
            held.restore()

    def _visit(self, path: str, item: Any, names: frozenset[str]) -> None:
        key = (id(item), names) if isinstance(item, types.ModuleType) else (id(item), frozenset())
        if isinstance(item, _PLAIN) or key in self._seen:
            return
        self._seen[key] = item  # it stays, or another could have its id
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
            if self._own(item.__name__):
                self._namespace(item.__name__, item.__dict__, names)
        elif callable(getattr(item, "cache_info", None)) and callable(getattr(item, "cache_clear", None)):
            self._hold(path, lambda: item.cache_info().currsize, lambda before: item.cache_clear())
            self._follow({path: item.__wrapped__, **{f"{path}, kept {i}": v for i, v in enumerate(_cached(item))}})
        else:
            self._data(path, item)

    def _own(self, module: str) -> bool:
        return module.partition(".")[0] in self._packages

    def _hold(self, path: str, take: Callable[[], Any], put: Callable[[Any], object]) -> None:
        self.held.append(_Held(path, take, put))

    def _follow(self, found: Mapping[str, Any], names: frozenset[str] = frozenset()) -> None:
        self._queue.extend((path, item, names) for path, item in found.items())

    def _function(self, path: str, function: types.FunctionType) -> None:
        if not self._own(function.__module__ or ""):
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
        if self._own(module := str(function.__globals__.get("__name__", ""))):  # not that of a wrapper
            self._namespace(module, function.__globals__, names)

    def _namespace(self, module: str, space: dict[str, Any], names: frozenset[str]) -> None:
        """A module's globals that some code names; all of them, where it may reach them otherwise."""
        every = bool(names & _INDIRECT)
        wanted = [n for n in (space if every else names) if not n.startswith("__")]
        for name in wanted:
            value = space.get(name, _MISSING)
            if not isinstance(value, types.ModuleType) and (id(space), name) not in self._named:
                self._named.add((id(space), name))
                put = functools.partial(_set, space, name)
                self._hold(f"{module}.{name}", functools.partial(space.get, name, _MISSING), put)
            if value is not _MISSING:
                self._follow({f"{module}.{name}": value}, names)

    def _cell(self, path: str, cell: types.CellType) -> None:
        def take() -> Any:
            try:
                return cell.cell_contents
            except ValueError:  # it is empty
                return _MISSING

        def put(value: Any) -> None:
            if value is _MISSING:
                del cell.cell_contents
            else:
                cell.cell_contents = value

        self._hold(path, take, put)
        self._follow({path: take()})

    def _class(self, path: str, cls: type) -> None:
        package = (cls.__module__ or "").partition(".")[0]
        if issubclass(cls, torch.optim.Optimizer) and package not in OPAQUE:
            self._packages.add(package)
        if not self._own(cls.__module__ or ""):
            return

        def put(before: dict[str, Any]) -> None:
            for name in _attributes(cls).keys() - before.keys():
                delattr(cls, name)
            for name, value in before.items():
                if not _alike(cls.__dict__.get(name, _MISSING), value):
                    setattr(cls, name, value)

        self._hold(f"{cls.__module__}.{cls.__qualname__}", lambda: _attributes(cls), put)
        self._follow({f"{cls.__qualname__}.{name}": value for name, value in vars(cls).items()})
        self._follow({base.__qualname__: base for base in (*cls.__bases__, type(cls))})

    def _data(self, path: str, item: Any) -> None:
        if isinstance(item, dict):
            self._mapping(path, item)
        elif isinstance(item, (list, collections.deque)):
            self._hold(path, lambda: list(item), functools.partial(_refill, item))
            self._follow({f"{path}[{i}]": value for i, value in enumerate(item)})
        elif isinstance(item, set):
            self._hold(path, lambda: set(item), functools.partial(_refill, item))
        elif isinstance(item, (tuple, frozenset)):
            self._follow({f"{path}[{i}]": value for i, value in enumerate(item)})
        elif isinstance(item, Tensor):
            self._hold(path, lambda: item.detach().clone(), item.data.copy_)
        elif isinstance(item, np.ndarray):
            self._hold(path, item.copy, functools.partial(np.copyto, item))
        elif isinstance(item, torch.Generator):
            self._hold(path, item.get_state, item.set_state)
        elif isinstance(item, random.Random):
            self._hold(path, item.getstate, item.setstate)
        elif isinstance(item, (np.random.Generator, np.random.RandomState)):
            face = np.random.RandomState(item.bit_generator) if isinstance(item, np.random.Generator) else item
            take = functools.partial(face.get_state, legacy=False)
            self._hold(path, lambda: pickle.dumps(take()), lambda before: face.set_state(pickle.loads(before)))
        elif isinstance(item, contextvars.ContextVar):
            self._hold(path, functools.partial(_value, item), lambda before: before is _MISSING or item.set(before))
        elif isinstance(item, (array.array, bytearray)):
            self._hold(path, lambda: bytes(item), functools.partial(_overwrite, item))
        elif isinstance(item, (itertools.count, types.GeneratorType)):
            self._hold(path, functools.partial(_place, item), lambda _: None)
        elif isinstance(item, nn.Module):
            self._mapping(path, item.__dict__, ".")
        elif (package := type(item).__module__.partition(".")[0]) in _INSTANCES or self._own(package):
            if isinstance(held := getattr(item, "__dict__", None), dict):
                self._mapping(path, held, ".")
            self._slots(path, item)
            self._follow({path: type(item)})

    def _slots(self, path: str, item: Any) -> None:
        """The attributes of an own object that stand in no `__dict__`."""
        for cls in type(item).__mro__ if self._own(type(item).__module__) else ():
            for name, place in vars(cls).items():
                if isinstance(place, types.MemberDescriptorType):
                    take = functools.partial(getattr, item, name, _MISSING)
                    self._hold(f"{path}.{name}", take, functools.partial(_set_slot, item, name))
                    self._follow({f"{path}.{name}": take()})

    def _mapping(self, path: str, item: dict[Any, Any], join: str = "") -> None:
        self._hold(path, lambda: dict(item), functools.partial(_refill, item))
        shown = (lambda key: f"{path}.{key}") if join else (lambda key: f"{path}[{key!r}]")
        self._follow({shown(key): value for key, value in item.items()})


def _package(root: Any) -> str:
    module = getattr(inspect.unwrap(root) if callable(root) else type(root), "__module__", None) or ""
    return str(module).partition(".")[0]


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _attributes(cls: type) -> dict[str, Any]:
    """The attributes of a class that are no methods: torch wraps those of an optimizer when it is first made."""
    found = {name: value for name, value in vars(cls).items() if not name.startswith(("__", "_abc_"))}
    return {name: value for name, value in found.items() if not isinstance(value, _METHODS)}


def _set(space: dict[str, Any], name: str, value: Any) -> None:
    if value is _MISSING:
        space.pop(name, None)
    else:
        space[name] = value


def _set_slot(item: Any, name: str, value: Any) -> None:
    if value is not _MISSING:
        setattr(item, name, value)
    elif hasattr(item, name):
        delattr(item, name)


def _cached(function: Any) -> list[Any]:
    """What a cache of functools holds that can change."""
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
    """Where an iterator is, which cannot be put back."""
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
    """Whether two contents are the same, as far as what they refer to is not looked at by itself."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(value, b[key]) for key, value in a.items())
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
    """Return the state of a component's code as it was when this was first called; None for harness's own components.

    Call it before the component is first used in this process, and restore it before each run.
    """
    if not is_plugin(function):
        return None
    if function not in _first:
        _first[function] = CodeState(function)
    return _first[function]


def is_plugin(function: Callable[..., Any]) -> bool:
    """Return True if a component is not one of harness's own."""
    return _package(function) not in OPAQUE
