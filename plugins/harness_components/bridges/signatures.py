"""Shared by the bridges to other collections: components with signatures made by inspection."""

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
    """Raised for a member of a collection that cannot be a component; the message is the reason."""


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
    """Give `compute` the signature and docstring of a component of `module`, which must hold it under its name."""
    compute.__name__ = compute.__qualname__ = name
    compute.__module__ = module
    compute.__doc__ = doc
    offered = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=t) for n, t in asks.items()]
    compute.__signature__ = inspect.Signature([*offered, *settings], return_annotation=returns)  # type: ignore[attr-defined]
    compute.__annotations__ = asks | {p.name: p.annotation for p in settings} | {"return": returns}
    return component.Decorator(kind)(reference=reference, **traits)(compute)


def setting(p: inspect.Parameter, hint: Any, text: str) -> inspect.Parameter | None:
    """Return a parameter of a collection as a setting of this type and text; None to leave it at its default.

    Raises:
        LeftOut: If it has no default, and its type is not plain data.
    """
    required = p.default is p.empty
    try:
        param_types.encode(hint)
        default = p.empty if required else param_types.convert(hint, p.default)
    except (TypeError, ValueError) as error:
        if required:
            raise LeftOut(f"it needs {p.name}, which is no plain data") from error
        return None
    return p.replace(kind=p.KEYWORD_ONLY, annotation=Annotated[hint, text] if text else hint, default=default)


@contextmanager
def refused(name: str) -> Iterator[None]:
    """Convert exceptions of a collection to HarnessError, and log its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except HarnessError:
            raise
        except Exception as error:
            raise HarnessError(f"{name}: {' '.join(str(error).split()) or one_line(error)}") from error
        finally:
            for text in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
                log.warning("%s: %s", name, text)
