"""Save the weights of a run, and load its model with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from harness.modeling.builder import make_model
from harness.modeling.target_scaling import scaled_for
from harness.registry.instantiate import component, trait
from harness.registry.kinds import KEY
from harness.results.record import Record
from harness.results.run_dir import WEIGHTS
from harness.results.study import record_of
from harness.system import safe_files
from harness.system.errors import HarnessError, one_line
from harness.system.safe_files import write_file
from harness.system.typed_json import Keys, checker


def save_weights(folder: Path, weights: dict[str, Tensor], shape: tuple[tuple[int, ...], int, int | None]) -> None:
    """Save weights with the facts needed to build their model again. The caller syncs the file.

    Args:
        folder: The run's folder.
        weights: The state of the model.
        shape: Shape of one sample's input, number of outputs, and number of words (None for real inputs).
    """
    inputs, outputs, vocabulary = shape
    content = {"state": weights, "inputs": list(inputs), "outputs": outputs, "vocabulary": vocabulary}
    write_file(folder / WEIGHTS, lambda file: torch.save(content, file), durable=False)


def read_weights(folder: Path) -> dict[str, Any]:
    """Read the weights that `save_weights` has written.

    Raises:
        HarnessError: If the file cannot be read, or holds something else.
    """
    path = folder / WEIGHTS
    try:
        safe_files.check_plain(path)
        content: Any = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # torch raises many kinds of errors for a torn file or one that holds objects
        raise HarnessError(f"{path} holds no weights: it is torn, or holds more than tensors") from error
    if not isinstance(content, dict) or _mistake(content) is not None or not _is_state(content.get("state")):
        raise HarnessError(f"{path} holds something else than the weights of a run")
    return content


_mistake = checker(Annotated[dict[str, Any], Keys({"inputs": list[int], "outputs": int, "vocabulary": int | None})])


def _is_state(state: Any) -> bool:
    return isinstance(state, dict) and all(isinstance(n, str) and isinstance(t, Tensor) for n, t in state.items())


def load_model(run: str | Path | Record) -> nn.Module:
    """Load the trained model of a run, in evaluation mode on the CPU.

    Args:
        run: The record of the run, or its folder.

    Raises:
        HarnessError: If the run has no weights, or if they do not fit its config.
    """
    record = record_of(run)
    node = record.config.get("model")
    if not isinstance(node, dict) or not isinstance(node.get(KEY), str):
        raise HarnessError(f"{record.folder}: its record names no model")
    if trait("model", node, "estimator", False):
        raise HarnessError(f"{record.folder}: model {node[KEY]} is fitted at once and has no weights")
    if not (record.folder / WEIGHTS).exists():
        raise HarnessError(f"{record.folder} has no weights (save=none, or not completed)")
    content = read_weights(record.folder)
    try:
        return _build_model(record, content)
    except HarnessError:
        raise
    except Exception as error:  # anyone may have written the config and the weights
        raise HarnessError(f"{record.folder / WEIGHTS} does not fit its run's config: {one_line(error)}") from error


def _build_model(record: Record, content: dict[str, Any]) -> nn.Module:
    regularizers = [
        component("regularizer", node, classes=content["outputs"], total_steps=1)
        for node in record.config["regularizer"].values()
    ]
    model = make_model(record.config, tuple(content["inputs"]), content["outputs"], content["vocabulary"], regularizers)
    state = content["state"]
    model = scaled_for(state, model)
    floats = [state[name].dtype for name, p in model.named_parameters() if p.is_floating_point()]
    model.to(floats[0] if floats else torch.float32).load_state_dict(state)
    return model.eval()
