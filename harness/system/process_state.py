"""The state of this process that components share: what a run starts from, and what is put back after a component."""

from __future__ import annotations

import contextlib
import functools
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from harness.system.shared_state import CALLERS, GENERATORS, SIGNALS, Shared, current

Tell = Callable[[str], None]


class StateWarning(UserWarning):
    """A component changed the state of the process, outside of a run that could record it."""


def _warn(line: str) -> None:
    warnings.warn(line, StateWarning, stacklevel=2)


def ignore(line: str) -> None:
    """Tell nobody: the same is told in another place."""


_listener: ContextVar[Tell] = ContextVar("listener", default=_warn)


def report(line: str) -> None:
    """Tell whoever the enclosing `kept` names of a change that was put back elsewhere."""
    _listener.get()(line)


@contextmanager
def kept(tell: Tell | None = None, by: str = "a component", package: str = "") -> Iterator[None]:
    """Put back what changes inside of the state that components share, but for random generators.

    Args:
        tell: Called with a line for each change, also with those of calls inside that name nobody; without one it is
            whoever the enclosing call names, and else a StateWarning.
        by: Who is said to have changed it.
        package: The package of who is called: what it imports of itself is no library.
    """
    table = current()
    before, modules = _states(table), len(sys.modules)
    token = None if tell is None else _listener.set(tell)
    ending = False
    try:
        yield
    except KeyboardInterrupt:
        ending = True
        raise
    finally:
        if token is not None:
            _listener.reset(token)
        now = current()
        if now is not table or _states(now) != before:
            known = {name: state for name, state in zip(table, before, strict=True) if not (ending and name == SIGNALS)}
            for line in _put_back(now, known, functools.partial(_imported, modules, package)):
                (tell or _listener.get())(f"{by} changed {line}; it was put back")


@contextmanager
def as_new() -> Iterator[None]:
    """Inside, the process is as if nothing had run in it before, as far as that can change a run's numbers. What the
    caller had is there again afterwards, random generators too.
    """
    import torch

    table = current() | GENERATORS
    before = dict(zip(table, _states(table), strict=True))
    ending = False
    with torch.inference_mode(False) if torch.is_inference_mode_enabled() else contextlib.nullcontext():
        for name, shared in table.items():
            if shared.start is not CALLERS and before[name] != shared.start:
                shared.write(shared.start)
        try:
            yield
        except KeyboardInterrupt:
            ending = True
            raise
        finally:
            if ending:  # a second signal must not disturb who records what the first has ended
                del before[SIGNALS]
            _put_back(current() | GENERATORS, before)


@contextmanager
def drawing(seed: int) -> Iterator[Callable[[], bool]]:
    """Everything that draws from a global generator draws the same, and leaves these generators as they were.

    Yields a function that tells whether something has drawn so far.
    """
    import numpy as np
    import torch

    kept = random.getstate(), np.random.get_state()  # noqa: NPY002  # other people's code draws from it
    with torch.random.fork_rng(devices=[]):
        # torch's own function formats a stack trace for each device that is not there
        (torch.manual_seed if torch.cuda.is_initialized() else torch.default_generator.manual_seed)(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        began = _states(GENERATORS)
        try:
            yield lambda: _states(GENERATORS) != began
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])  # noqa: NPY002


def states() -> dict[str, Any]:
    """Return all of the state that components share, by name, as what compares by ==."""
    table = current() | GENERATORS
    return dict(zip(table, _states(table), strict=True))


@contextmanager
def preserved() -> Iterator[None]:
    """Put back all that changes inside, random generators too, and tell nobody."""
    before = states()
    try:
        yield
    finally:
        _put_back(current() | GENERATORS, before)


def _states(table: Mapping[str, Shared]) -> list[Any]:
    return [shared.read() for shared in table.values()]


def _put_back(
    table: Mapping[str, Shared], before: Mapping[str, Any], imported: Callable[[], bool] = lambda: True
) -> list[str]:
    """Put states back; a line for each that had changed, and that no library has changed as it was imported.

    One that was not read before, as torch was not imported, is put back to what a run starts from.
    """
    lines = []
    for name, shared in table.items():
        old, new = before.get(name, shared.start), shared.read()
        if old is CALLERS or new == old:
            continue
        shared.write(old)
        if not (shared.libraries and imported()):
            lines.append(f"{name}{shared.say(old, new)}")
    return lines


def _imported(modules: int, package: str) -> bool:
    """Whether a library was imported since there were so many modules: new ones are last."""
    names = {name.partition(".")[0] for name in list(sys.modules)[modules:]}
    return bool(names - sys.stdlib_module_names - {package, "harness"})
