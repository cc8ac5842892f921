"""Load the weights that a run starts from, `init_from`."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from harness.system import safe_files
from harness.system.errors import HarnessError

State = dict[str, Tensor]
SHOWN = 3  # names in a message


def read_state(path: Path) -> State:
    """Read the weights in a file: of a run of harness, a checkpoint of harness or Lightning, or a `state_dict`.

    Args:
        path: The file.

    Raises:
        HarnessError: If the file cannot be read, or holds no weights.
    """
    try:
        safe_files.check_plain(path)
        content = _load(path)
    except OSError as error:
        raise HarnessError(f"init_from: cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # torch raises many kinds of errors for a torn file or one that holds objects
        raise HarnessError(
            f"init_from: {path} cannot be read: it is torn, or no file of torch.save; "
            "torch.save(model.state_dict(), FILE) writes one"
        ) from error
    nested = content.get("state", content.get("state_dict", content)) if isinstance(content, dict) else None
    state = nested.get("model", nested) if isinstance(nested, dict) else None  # the state of a checkpoint of harness
    named = isinstance(state, dict) and all(isinstance(n, str) and isinstance(t, Tensor) for n, t in state.items())
    if not state or not named:
        raise HarnessError(f"init_from: {path} holds no weights by name")
    return dict(state)


def _load(path: Path) -> Any:
    """Load a file of torch.save; objects that are neither tensors nor plain data become inert."""
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError:  # a checkpoint of Lightning also holds hyperparameters, which may be objects
        reader = SimpleNamespace(__name__="tensors", Unpickler=_TensorUnpickler)
        return torch.load(path, weights_only=False, map_location="cpu", pickle_module=reader)


class _Inert:
    """Stands for an object that is not built: whatever is done to it while a file is read has no effect."""

    def __new__(cls, *args: Any, **kwargs: Any) -> _Inert:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __setstate__(self, state: Any) -> None: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def append(self, item: Any) -> None: ...
    def extend(self, items: Any) -> None: ...


class _TensorUnpickler(pickle.Unpickler):
    """Reads tensors and containers; any other class or function is replaced by one that does nothing."""

    ALLOWED = frozenset({
        ("collections", "OrderedDict"),
        ("torch", "Size"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor_v2"),
    })  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        """Return a class or function that builds tensors, or an inert class."""
        if (module, name) in self.ALLOWED:
            return super().find_class(module, name)
        found = getattr(torch, name, None) if module == "torch" else None
        return found if isinstance(found, torch.dtype) else _Inert


def start_from(model: nn.Module, path: Path) -> None:
    """Replace all weights of a model by those in a file.

    A prefix that all names in the file have, as in a checkpoint of Lightning (`net.0.weight`), is removed if the names
    then fit.

    Args:
        model: The model.
        path: The file.

    Raises:
        HarnessError: If the file cannot be read, or if a weight is missing, unexpected or of another shape.
    """
    state, own = read_state(path), model.state_dict()
    prefixes = {name.partition(".")[0] for name in state}
    if state.keys() != own.keys() and len(prefixes) == 1:
        short = {name.partition(".")[2]: tensor for name, tensor in state.items()}
        state = short if short.keys() & own.keys() else state
    shapes = {name: (list(state[name].shape), list(t.shape)) for name, t in own.items() if name in state}
    mistakes = [
        _named("it lacks", [name for name in own if name not in state]),
        _named("it also has", [name for name in state if name not in own]),
        _named("of another shape:", [f"{n} {old} instead of {new}" for n, (old, new) in shapes.items() if old != new]),
    ]
    if any(mistakes):
        raise HarnessError(f"init_from: {path} does not fit the model: {'; '.join(filter(None, mistakes))}")
    model.load_state_dict(state)


def _named(what: str, names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what} {', '.join(names[:SHOWN])}{more}" if names else ""
