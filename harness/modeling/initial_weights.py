"""Load the weights that a run starts from, `init_from`."""

from __future__ import annotations

from pathlib import Path
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
        content: Any = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise HarnessError(f"init_from: cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # torch raises many kinds of errors for a torn file or one that holds objects
        raise HarnessError(
            f"init_from: {path} cannot be read: it is torn, or holds more than tensors and plain data; "
            "torch.save(model.state_dict(), FILE) writes a file that can"
        ) from error
    nested = content.get("state", content.get("state_dict", content)) if isinstance(content, dict) else None
    state = nested.get("model", nested) if isinstance(nested, dict) else None  # the state of a checkpoint of harness
    named = isinstance(state, dict) and all(isinstance(n, str) and isinstance(t, Tensor) for n, t in state.items())
    if not state or not named:
        raise HarnessError(f"init_from: {path} holds no weights by name")
    return dict(state)


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
