"""Restore the state of the process that components share, and give each run the same initial state."""

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
    """Warning about a component that changed the state of the process outside of a run, which could record it."""


def _warn(line: str) -> None:
    warnings.warn(line, StateWarning, stacklevel=2)


SOMEONE = "a component"  # the author of a change, where no component is known


def ignore(line: str) -> None:
    """Report nothing, for changes that are reported elsewhere."""


_listener: ContextVar[Tell] = ContextVar("listener", default=_warn)


def report(line: str) -> None:
    """Report a change that the caller has undone to the `tell` of the enclosing `kept`."""
    _listener.get()(line)


@contextmanager
def kept(tell: Tell | None = None, by: str = SOMEONE, package: str = "") -> Iterator[None]:
    """Restore the shared state of the process after the block, except for random generators.

    Args:
        tell: Called with a line for each change, also those in nested blocks without a `tell`. Without one, the `tell`
            of the enclosing block is called; without that, a StateWarning is issued.
        by: Text that names the author of a change.
        package: Package of the called code; its own imports do not count as imports of a library.
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
            for line in _restore(now, known, functools.partial(_library_imported, modules, package)):
                (tell or _listener.get())(f"{by} changed {line}; it was put back")


@contextmanager
def as_new() -> Iterator[None]:
    """Set the shared state for the block as if nothing had run in the process, and restore the caller's afterwards.

    This covers all state that can change the numbers of a run; random generators are restored too.
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
            if ending:  # keep a second signal from disturbing the recording of the interrupted runs
                del before[SIGNALS]
            _restore(current() | GENERATORS, before)


@contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Seed the global random generators for the block, and restore them afterwards."""
    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()  # noqa: NPY002  # other people's code draws from it
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed formats a stack trace for each missing device, which is slow
        (torch.manual_seed if torch.cuda.is_initialized() else torch.default_generator.manual_seed)(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


def watched_generators() -> Callable[[], bool]:
    """Return a function that returns True if something has drawn from the global random generators since."""
    before = _states(GENERATORS)
    return lambda: _states(GENERATORS) != before


def states() -> dict[str, Any]:
    """Return the shared state by name, as values that can be compared by ==."""
    table = current() | GENERATORS
    return dict(zip(table, _states(table), strict=True))


@contextmanager
def preserved() -> Iterator[None]:
    """Restore the shared state and the random generators after the block, without a report."""
    before = states()
    try:
        yield
    finally:
        _restore(current() | GENERATORS, before)


def _states(table: Mapping[str, Shared]) -> list[Any]:
    return [shared.read() for shared in table.values()]


def _restore(
    table: Mapping[str, Shared], before: Mapping[str, Any], imported: Callable[[], bool] = lambda: True
) -> list[str]:
    """Restore states, and return a line for each change that was not made by the import of a library.

    A state without an earlier value (since torch was not imported then) is set to the initial state of a run.
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


def _library_imported(modules: int, package: str) -> bool:
    """Return True if a library was imported since there were so many modules; new modules come last."""
    names = {name.partition(".")[0] for name in list(sys.modules)[modules:]}
    return bool(names - sys.stdlib_module_names - {package, "harness"})


@contextmanager
def torch_on_one_thread() -> Iterator[None]:
    """Context in which torch computes with one thread, as in a worker: several change the last bits of sums.

    A component that changes the number of threads is left to `kept`, which puts it back and reports it.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() == 1:
            torch.set_num_threads(before)
