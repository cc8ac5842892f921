"""What bridges to other people's collections share: a function with the signature that a hand would have written."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from harness import HarnessError, component, one_line, param_types

log = logging.getLogger("harness.bridges")


class LeftOut(Exception):
    """A member of a collection that cannot be a component; the message says why."""


def described(
    kind: str,
    name: str,
    module: str,
    compute: Callable[..., Any],
    asks: dict[str, Any],
    settings: Sequence[inspect.Parameter],
    returns: Any,
    doc: str,
    reference: str,
    **traits: Any,
) -> Callable[..., Any]:
    """`compute` as a component of `module`, which must hold it by its name: what it asks for first, then settings."""
    compute.__name__ = compute.__qualname__ = name
    compute.__module__ = module
    compute.__doc__ = doc
    offered = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=t) for n, t in asks.items()]
    compute.__signature__ = inspect.Signature([*offered, *settings], return_annotation=returns)  # type: ignore[attr-defined]
    compute.__annotations__ = asks | {p.name: p.annotation for p in settings} | {"return": returns}
    return component.Decorator(kind)(reference=reference, **traits)(compute)


def setting(p: inspect.Parameter, hint: Any, said: str) -> inspect.Parameter | None:
    """A parameter of a collection's signature as a setting of this type, with what is said of it; None where its
    default or its type is no plain data. Raises LeftOut for one that cannot be left to its default.
    """
    required = p.default is p.empty
    try:
        param_types.encode(hint)
        default = p.empty if required else param_types.convert(hint, p.default)
    except (TypeError, ValueError) as error:
        if required:
            raise LeftOut(f"it needs {p.name}, which is no plain data") from error
        return None
    return p.replace(kind=p.KEYWORD_ONLY, annotation=Annotated[hint, said] if said else hint, default=default)


@contextmanager
def refused(name: str) -> Iterator[None]:
    """Inside, what a collection refuses is told as a mistake in what was asked for, and what it warns of is logged."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            yield
        except HarnessError:
            raise
        except Exception as error:
            raise HarnessError(f"{name}: {' '.join(str(error).split()) or one_line(error)}") from error
        finally:
            for text in dict.fromkeys(" ".join(str(warning.message).split()) for warning in said):
                log.warning("%s: %s", name, text)
