"""Tests that private APIs of dependencies are used only in `_compat`, where they are tested."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import harness
import harness_components
import harness_pytorch_optimizer
import harness_sklearn

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(p for tree in ("harness", "plugins", "benchmarks", "docs") for p in (ROOT / tree).rglob("*.py"))
PACKAGES = (harness, harness_components, harness_pytorch_optimizer, harness_sklearn)
OWN = ("harness", "hydra_plugins", "benchmarks")  # our own private names
DOCUMENTED = {"_exit", "_getframe", "_asdict", "_fields", "_make", "_replace"}  # in Python's library reference
BY_NAME = {"getattr", "setattr", "hasattr", "delattr", "attrgetter", "methodcaller", "import_module"}


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in DOCUMENTED


def _ours(module: str) -> bool:
    return module.startswith(OWN)


def defined(tree: ast.AST) -> set[str]:
    """Return the names that a file defines: functions, classes, variables, and attributes of its own objects."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def private_uses(tree: ast.AST, own: set[str]) -> Iterator[str]:
    """Yield each use of a private name outside of `own`: imports, attributes, and attributes by name."""
    for node in ast.walk(tree):
        names: Iterable[str] = ()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if not _ours(alias.name)]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level and not _ours(node.module):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            names = [node.attr]
        elif isinstance(node, ast.Call) and _called(node.func) in BY_NAME:
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            names = [text for text in texts if text not in own]
        for name in names:
            if any(_private(part) for part in name.split(".")):
                yield f"{node.lineno}: {name}"


@cache
def _trees() -> dict[Path, ast.AST]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def _is_compat(path: Path) -> bool:
    return "_compat" in (path.stem, path.parent.name)


def test_private_names_of_dependencies_are_used_only_in_compat() -> None:
    own = set().union(*(defined(tree) for tree in _trees().values()))
    uses = [
        f"{path.relative_to(ROOT)}:{use}"
        for path, tree in _trees().items()
        if not _is_compat(path)
        for use in private_uses(tree, own)
    ]
    assert not uses, "move it to a function of _compat, with a test of its own"


def _modules() -> Iterator[ModuleType]:
    for package in PACKAGES:
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not info.name.endswith("__main__"):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of TensorBoard's dependencies
                    module = importlib.import_module(info.name)
                yield module


def _overridden(cls: type) -> Iterator[str]:
    """Yield the private methods of a class that override one of a class of a dependency."""
    for name, member in vars(cls).items():
        if _private(name) and inspect.isfunction(member):
            yield from (
                base.__module__ for base in cls.__mro__[1:] if name in vars(base) and not _ours(base.__module__)
            )


def test_private_methods_of_dependencies_are_overridden_only_in_compat() -> None:
    overrides = [
        f"{cls.__module__}.{cls.__name__}: {where}"
        for module in _modules()
        for cls in vars(module).values()
        if inspect.isclass(cls) and cls.__module__ == module.__name__ and "_compat" not in module.__name__
        for where in _overridden(cls)
    ]
    assert not overrides


@pytest.mark.parametrize(
    "line",
    [
        "from torch._C import _functorch",
        "from torch.utils import _pytree as pytree",
        "import hydra._internal.utils",
        "x = torch._C",
        "optimizer._hooks.clear()",
        "getattr(cls, '_parameter_constraints', {})",
        "monkey.setattr(module, '_flag', 1)",
        "importlib.import_module('_signal')",
    ],
)
def test_private_use_is_detected(line: str) -> None:
    assert len(list(private_uses(ast.parse(line), set()))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "from harness._compat.torch import pytree",
        "self._own = 1\nother._own",
        "os._exit(0)",
        "x.__dict__",
        "import a.b",
    ],
)
def test_public_use_is_accepted(line: str) -> None:
    tree = ast.parse(line)
    assert not list(private_uses(tree, defined(tree)))
