"""The errors that a person can mend, and the nearest right word for a wrong one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class HarnessError(ValueError):
    """A mistake in what was asked for. The command line prints it as one line and exits with 2."""


def suggest(word: object, known: Iterable[object]) -> str:
    """A tail for an error line that names the words nearest to a wrong one.

    >>> suggest("rely", ["relu", "tanh"])
    " Did you mean 'relu'?"
    >>> suggest("zzz", ["relu", "tanh"])
    ' Known: relu, tanh.'
    """
    names = sorted({str(name) for name in known})
    near = difflib.get_close_matches(str(word), names, n=3, cutoff=0.6)
    if near:
        return f" Did you mean {' or '.join(repr(name) for name in near)}?"
    if not names:
        return ""
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f" Known: {shown}."


def one_line(error: BaseException) -> str:
    """What an exception says, in one line that names its type.

    >>> one_line(KeyError("a"))
    "KeyError: 'a'"
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns what Hydra and OmegaConf raise about a config into one HarnessError line."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        message = _explain(error)
        if message is None:
            raise
        raise HarnessError(message) from error


def _explain(error: BaseException) -> str | None:
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException, ValidationError

    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    for link in chain:
        if isinstance(link, HarnessError):
            return str(link)
    for link in chain:
        if isinstance(link, MissingConfigException) and link.missing_cfg_file:
            group, _, name = str(link.missing_cfg_file).rpartition("/")
            return f"no {group} {name!r}.{suggest(name, link.options or [])}"
        if isinstance(link, (ConfigKeyError, ConfigAttributeError)):
            return _unknown_key(link)
        if isinstance(link, ValidationError):
            return f"{link.full_key}: {str(link).splitlines()[0]}"
    if isinstance(error, (HydraException, OmegaConfBaseException)) or type(error).__module__.startswith("yaml"):
        return " ".join(str(error).split())
    return None


def _unknown_key(error: Any) -> str:
    from harness.kinds import KINDS

    full = str(error.full_key)
    kind, _, rest = full.partition(".")
    name = rest.partition(".")[0]
    if kind in KINDS and KINDS[kind].many and error.parent_node is not None and "_component_" not in error.parent_node:
        return f"{full}: {kind} {name!r} is not chosen; choose it with '{kind}=[{name}]'"
    parent = error.parent_node
    known = [str(key) for key in parent] if parent is not None else []
    return f"unknown key {full!r}.{suggest(error.key, [k for k in known if k not in ('_component_', 'hydra')])}"
