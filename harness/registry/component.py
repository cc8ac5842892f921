"""Mark functions as components, and read their signatures.

harness injects the positional parameters by name. Keyword-only parameters are settings from the config, which are plain
data. The decorator returns the function unchanged, so that it stays picklable and callable.
"""

from __future__ import annotations

import enum
import functools
import inspect
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.registry.kinds import KINDS, SKIPS
from harness.registry.param_types import convert, encode

F = TypeVar("F", bound=Callable[..., Any])
NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
REQUIRED = "???"  # marks a setting without a default, as in OmegaConf


@dataclass(frozen=True)
class Mark:
    """The kind, name, reference and traits that a decorator attaches to a component."""

    kind: str
    name: str
    reference: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Parameter:
    """One keyword-only parameter."""

    name: str
    hint: Any
    default: Any  # REQUIRED if there is none

    @property
    def required(self) -> bool:
        """True if there is no default."""
        return isinstance(self.default, str) and self.default == REQUIRED


class ComponentError(TypeError):
    """Raised for a component that breaks a rule for parameters, names or traits."""


class Decorator:
    """Decorator that marks a function as a component of a kind and returns it unchanged.

    Args:
        kind: The kind of component.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    @typing.overload
    def __call__(self, function: F, /) -> F: ...
    @typing.overload
    def __call__(
        self, /, *, reference: str | None = None, name: str | None = None, **traits: Any
    ) -> Callable[[F], F]: ...
    def __call__(
        self,
        function: F | None = None,
        /,
        *,
        reference: str | None = None,
        name: str | None = None,
        **traits: Any,
    ) -> F | Callable[[F], F]:
        """Mark a function.

        Args:
            function: The function, for a decorator without arguments.
            reference: The publication.
            name: The name of the component; default: the name of the function.
            **traits: The traits of the kind, and `skips`.
        """

        def mark(target: F) -> F:
            target.__harness__ = Mark(self.kind, name or target.__name__, reference, traits)  # type: ignore[attr-defined]
            return target

        return mark if function is None else mark(function)


def mark_of(function: Any) -> Mark | None:
    """Return the mark of a component, or None for any other object."""
    mark = getattr(function, "__harness__", None)
    return mark if isinstance(mark, Mark) else None


def marked(module: Any) -> list[Callable[..., Any]]:
    """Return the components that a module defines, in the order of their definition.

    Args:
        module: The module.
    """
    return [
        value
        for value in vars(module).values()
        if mark_of(value) is not None and getattr(value, "__module__", None) == module.__name__
    ]


@functools.lru_cache(1024)
def asks(function: Callable[..., Any]) -> list[str]:
    """Return the names of the parameters that harness injects into a component."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


@functools.lru_cache(1024)
def parameters(function: Callable[..., Any]) -> list[Parameter]:
    """Return the keyword-only parameters of a component, with their hints and defaults.

    Raises:
        ComponentError: If a parameter has no type.
    """
    source = function.__init__ if inspect.isclass(function) else function
    hints = typing.get_type_hints(source, include_extras=True)
    rows = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is not p.KEYWORD_ONLY:
            continue
        if p.name not in hints:
            raise ComponentError(f"parameter {p.name!r} has no type")
        rows.append(Parameter(p.name, hints[p.name], REQUIRED if p.default is p.empty else p.default))
    return rows


def validate(function: Any) -> Mark:
    """Return the mark of a component.

    Raises:
        ComponentError: If the component breaks a rule for parameters, names or traits.
    """
    mark = mark_of(function)
    if mark is None:
        raise ComponentError(f"{function!r} is not marked: decorate it with @harness.<kind>")
    label = f"{mark.kind}/{mark.name}"
    kind = KINDS[mark.kind]
    if not NAME.match(mark.name):
        raise ComponentError(f"{label}: a name is lower case letters, digits and _, and starts with a letter")
    if mark.name == "auto":
        raise ComponentError(f"{label}: the name 'auto' is reserved for the automatic choice")
    for p in inspect.signature(function).parameters.values():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise ComponentError(f"{label}: *{p.name} hides its parameters; name each")
    for name in asks(function):
        if name not in kind.offers:
            raise ComponentError(
                f"{label} asks for {name!r}; a {mark.kind} may ask for {', '.join(kind.offers) or 'nothing'}. "
                "Write parameters that the config sets after a bare '*'."
            )
    for trait in mark.traits:
        if trait not in (*kind.traits, SKIPS):
            raise ComponentError(
                f"{label}: a {mark.kind} has no trait {trait!r} (it has {', '.join(kind.traits) or 'none'})"
            )
    try:
        rows = parameters(function)
    except (TypeError, ValueError, NameError) as error:
        raise ComponentError(f"{label}: {error}") from error
    for row in rows:
        try:
            encode(row.hint)
            if not row.required:
                convert(row.hint, row.default)
        except (TypeError, ValueError) as error:
            raise ComponentError(f"{label}: parameter {row.name!r}: {error}") from error
    return mark


def describe(function: Callable[..., Any]) -> dict[str, Any]:
    """Return a component as plain data for the catalogue.

    Raises:
        ComponentError: If the component breaks a rule for parameters, names or traits.
    """
    mark = validate(function)
    rows = []
    for p in parameters(function):
        rows.append(
            {
                "name": p.name,
                "type": encode(p.hint),
                "default": _json(p.default),
                "required": p.required,
            }
        )
    return {
        "kind": mark.kind,
        "name": mark.name,
        "package": function.__module__.partition(".")[0],
        "asks": asks(function),
        "parameters": rows,
        "reference": mark.reference,
        "doc": inspect.getdoc(function) or "",
        "traits": {name: _plain(value) for name, value in mark.traits.items()},
    }


def _json(default: Any) -> Any:
    """Return a default as JSON: a tuple as a list, a member of an Enum as its name."""
    if isinstance(default, (list, tuple)):
        return [_json(item) for item in default]
    return default.name if isinstance(default, enum.Enum) else default


def _plain(value: Any) -> Any:
    """Return a trait as JSON; a function stands for a trait that depends on the settings."""
    if callable(value):
        return "by its settings"
    return list(value) if isinstance(value, tuple) else value
