"""The parts of the process state that components share, with functions that read and write each of them."""

from __future__ import annotations

import contextlib
import functools
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from harness._compat.python import environment, signal_handler

CALLERS = object()  # marks a state that a run takes over from its caller


class Shared(NamedTuple):
    """A part of the state that all code of a process shares.

    Attributes:
        read: Returns the state as a value that compares by ==; called dozens of times per run.
        write: Restores a state that `read` has returned.
        start: Initial state of a run.
        libraries: True if libraries may change it when they are imported.
        say: Describes a change from one state to another.
    """

    read: Callable[[], Any]
    write: Callable[[Any], object]
    start: Any = CALLERS
    libraries: bool = False
    say: Callable[[Any, Any], str] = lambda old, new: f" from {old} to {new}"


def _folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "a folder that was removed"


def _enter(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.chdir(folder)


def _set_variables(old: dict[Any, Any]) -> None:
    new = environment()
    for name in new.keys() - old.keys():
        del os.environ[os.fsdecode(name)]
    for name, value in old.items():
        if new.get(name) != value:
            os.environ[os.fsdecode(name)] = os.fsdecode(value)


def _say_variables(old: dict[Any, Any], new: dict[Any, Any]) -> str:
    """Return the names of changed variables, without their values, which may be secrets."""
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    return f" {', '.join(sorted(os.fsdecode(name) for name in changed))}"


def _set_path(old: Sequence[str]) -> None:
    sys.path[:] = old


def _say_nothing(old: Any, new: Any) -> str:
    return ""


def _say_entries(old: Sequence[Any], new: Sequence[Any]) -> str:
    added = dict.fromkeys(repr(entry) for entry in new if entry not in old)
    return f" ({', '.join(added) or 'entries were removed'})"


_CATEGORIES = [
    getattr(locale, f"LC_{name}")
    for name in ("NUMERIC", "TIME", "COLLATE", "MONETARY", "MESSAGES")
    if hasattr(locale, f"LC_{name}")
]


def _locale() -> tuple[str, ...]:
    return tuple([locale.setlocale(category) for category in _CATEGORIES])


def _set_locale(old: Sequence[str]) -> None:
    for category, name in zip(_CATEGORIES, old, strict=True):
        locale.setlocale(category, name)


def _umask() -> int:
    """Read the umask by setting it, to a value that makes files of other threads too private rather than too open."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


SIGNALS = "the handlers of signals"
_NUMBERS = [
    int(getattr(signal, f"SIG{name}"))
    for name in ("INT", "TERM", "HUP", "QUIT", "ALRM", "USR1", "USR2", "CHLD", "PIPE", "ABRT", "FPE", "SEGV")
    if hasattr(signal, f"SIG{name}")
]


def _handlers() -> list[Any]:
    return [signal_handler(number) for number in _NUMBERS]


def _set_handlers(old: Sequence[Any]) -> None:
    if threading.current_thread() is threading.main_thread():  # only the main thread can change them
        for number, handler in zip(_NUMBERS, old, strict=True):
            if handler is not None and signal_handler(number) != handler:  # None: not set by Python
                signal.signal(number, handler)


def _say_handlers(old: Sequence[Any], new: Sequence[Any]) -> str:
    changed = (number for number, a, b in zip(_NUMBERS, old, new, strict=True) if a != b)
    return f" ({', '.join(signal.Signals(number).name for number in changed)})"


def _filters() -> tuple[Any, ...]:
    return (*warnings.filters, warnings.showwarning)


def _set_filters(old: Sequence[Any]) -> None:
    *filters, warnings.showwarning = old
    warnings.resetwarnings()  # invalidates Python's cache of the filters
    warnings.filters[:] = filters  # type: ignore[index]


def _hooks() -> tuple[Any, ...]:
    return sys.excepthook, threading.excepthook, sys.unraisablehook


def _set_hooks(old: tuple[Any, ...]) -> None:
    sys.excepthook, threading.excepthook, sys.unraisablehook = old


def _logging() -> tuple[Any, ...]:
    return logging.root.level, logging.getLogger("harness").level, logging.root.manager.disable, *logging.root.handlers


def _set_logging(old: Sequence[Any]) -> None:
    root_level, harness_level, disabled, *handlers = old
    logging.root.setLevel(root_level)
    logging.getLogger("harness").setLevel(harness_level)
    logging.disable(disabled)
    logging.root.handlers[:] = handlers


PYTHON: dict[str, Shared] = {
    "the working folder": Shared(_folder, _enter),
    "the environment variables": Shared(environment, _set_variables, libraries=True, say=_say_variables),
    "the search path of modules": Shared(lambda: [*sys.path], _set_path, libraries=True, say=_say_entries),
    "the locale": Shared(_locale, _set_locale, start=("C",) * len(_CATEGORIES)),
    "the locale's characters": Shared(
        functools.partial(locale.setlocale, locale.LC_CTYPE), functools.partial(locale.setlocale, locale.LC_CTYPE)
    ),
    "the permissions of new files": Shared(_umask, os.umask, say=lambda old, new: f" (umask {old:03o} to {new:03o})"),
    SIGNALS: Shared(_handlers, _set_handlers, say=_say_handlers),
    "the filters of warnings": Shared(_filters, _set_filters, libraries=True, say=_say_nothing),
    "the hooks for uncaught exceptions": Shared(_hooks, _set_hooks, say=_say_nothing),
    "the levels and handlers of logging": Shared(_logging, _set_logging, libraries=True, say=_say_nothing),
    "the limit of recursion": Shared(sys.getrecursionlimit, sys.setrecursionlimit, libraries=True),
}


@functools.cache
def _numpy() -> dict[str, Shared]:
    import numpy as np

    start = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
    return {"numpy's handling of errors": Shared(np.geterr, lambda old: np.seterr(**old), start)}


_SMALLEST = [5e-324]  # the smallest number above 0, in a list so that no compiler folds it


@functools.cache
def _torch() -> dict[str, Shared]:
    import torch
    from torch import backends

    def set_deterministic(old: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(old[0], warn_only=old[1])

    def set_device(old: torch.device) -> None:
        # a default of "cpu" slows every function that creates a tensor, None does not
        torch.set_default_device(None if old == torch.device("cpu") else old)

    def precision() -> str:
        try:
            return torch.get_float32_matmul_precision()
        except RuntimeError:  # backends have different precisions
            return "mixed"

    def set_precision(old: str) -> None:
        if old != "mixed":
            torch.set_float32_matmul_precision(old)

    def autocast() -> tuple[Any, ...]:
        kinds = ("cpu", "cuda")
        return *map(torch.is_autocast_enabled, kinds), *map(torch.get_autocast_dtype, kinds)

    def set_autocast(old: tuple[Any, ...]) -> None:
        for kind, enabled, dtype in zip(("cpu", "cuda"), old[:2], old[2:], strict=True):
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)

    cudnn: Any = backends.cudnn
    mkldnn: Any = backends.mkldnn

    def libraries() -> tuple[bool, ...]:
        return cudnn.enabled, cudnn.benchmark, cudnn.deterministic, mkldnn.enabled, mkldnn.deterministic

    def set_libraries(old: tuple[bool, ...]) -> None:
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic, mkldnn.enabled, mkldnn.deterministic = old

    kinds = ("flash", "mem_efficient", "math", "cudnn")
    enabled = [getattr(backends.cuda, f"{kind}_sdp_enabled") for kind in kinds]
    enable = [getattr(backends.cuda, f"enable_{kind}_sdp") for kind in kinds]

    def set_attention(old: Sequence[bool]) -> None:
        for write, value in zip(enable, old, strict=True):
            write(value)

    return {
        "torch's default dtype": Shared(torch.get_default_dtype, torch.set_default_dtype, torch.float32),
        "torch's default device": Shared(torch.get_default_device, set_device, torch.device("cpu")),
        "whether torch records gradients": Shared(torch.is_grad_enabled, torch.set_grad_enabled, True),
        "whether torch is deterministic": Shared(
            lambda: (
                torch.are_deterministic_algorithms_enabled(),
                torch.is_deterministic_algorithms_warn_only_enabled(),
            ),
            set_deterministic,
            (False, False),
            say=lambda old, new: f" from {old[0]} to {new[0]}",
        ),
        "torch's precision of float32 products": Shared(precision, set_precision, "highest"),
        "torch's number of threads": Shared(torch.get_num_threads, torch.set_num_threads),
        "torch's check for anomalies": Shared(torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly, False),
        "torch's autocast": Shared(
            autocast, set_autocast, (False, False, torch.bfloat16, torch.float16), say=_say_nothing
        ),
        "torch's settings of cuDNN and oneDNN": Shared(
            libraries, set_libraries, (True, False, False, True, False), say=_say_nothing
        ),
        "torch's choice of attention kernels": Shared(
            lambda: tuple([read() for read in enabled]), set_attention, (True, True, True, True), say=_say_nothing
        ),
        "whether denormal numbers are kept": Shared(
            lambda: _SMALLEST[0] * 1.0 > 0.0, lambda old: torch.set_flush_denormal(not old), True
        ),
    }


@functools.cache
def _table(numpy: bool, torch: bool) -> dict[str, Shared]:
    return PYTHON | (_numpy() if numpy else {}) | (_torch() if torch else {})


def current() -> dict[str, Shared]:
    """Return the parts that can be read now, without those of numpy and torch if these are not imported."""
    return _table("numpy" in sys.modules, "torch" in sys.modules)


def _numpy_generator() -> tuple[Any, ...]:
    import numpy as np

    state: Any = np.random.get_state()  # noqa: NPY002
    return state[0], state[1].tobytes(), *state[2:]


def _set_numpy_generator(old: tuple[Any, ...]) -> None:
    import numpy as np

    np.random.set_state((old[0], np.frombuffer(old[1], np.uint32), *old[2:]))  # noqa: NPY002


def _torch_generators() -> list[bytes]:
    import torch

    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    return [state.numpy().tobytes() for state in states]


def _set_torch_generators(old: Sequence[bytes]) -> None:
    import torch

    first, *gpus = [torch.frombuffer(bytearray(state), dtype=torch.uint8) for state in old]
    torch.set_rng_state(first)
    if gpus:
        torch.cuda.set_rng_state_all(gpus)


# Apart, since they take longest to read. A run uses generators of its own, and seeds these (`drawing`).
GENERATORS: dict[str, Shared] = {
    "Python's random generator": Shared(random.getstate, random.setstate, say=_say_nothing),
    "numpy's random generator": Shared(_numpy_generator, _set_numpy_generator, say=_say_nothing),
    "torch's random generators": Shared(_torch_generators, _set_torch_generators, say=_say_nothing),
}
