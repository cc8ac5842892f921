"""The weights that a run keeps, and its model with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from harness.modeling.builder import make_model
from harness.modeling.target_scaling import scaled_for
from harness.registry.instantiate import component, trait
from harness.registry.kinds import KEY
from harness.results.record import Record, Records
from harness.results.study import load
from harness.system import safe_files
from harness.system.errors import HarnessError, one_line
from harness.system.safe_files import write_file
from harness.system.typed_json import Keys, checker

WEIGHTS = "weights.pt"


def save_weights(folder: Path, weights: dict[str, Tensor], shape: tuple[tuple[int, ...], int, int | None]) -> None:
    """Keeps weights with what building their model again wants: the shape of inputs, the width of outputs, and the
    number of words, where there are some.
    """
    inputs, outputs, vocabulary = shape
    content = {"state": weights, "inputs": list(inputs), "outputs": outputs, "vocabulary": vocabulary}
    write_file(folder / WEIGHTS, lambda file: torch.save(content, file))


def record_of(run: str | Path | Record) -> Record:
    """The record of a run, given itself or by the run's folder. Raises HarnessError if there is none, or several."""
    if isinstance(run, Record):
        return run
    if isinstance(run, Records):
        raise HarnessError(f"expected one run, got {run!r}: take one of them, records[0] for example")
    if not isinstance(run, str | os.PathLike):
        raise HarnessError(f"expected a run (its record or its folder), got {type(run).__name__}")
    records = load(run)
    if len(records) != 1:
        what = f"the records of {len(records)} runs: name the folder of one" if records else "no record of a run"
        raise HarnessError(f"{run} has {what}")
    return records[0]


def read_weights(folder: Path) -> dict[str, Any]:
    """What `save_weights` has kept. Raises HarnessError for a file that holds something else."""
    path = folder / WEIGHTS
    try:
        safe_files.check_plain(path)
        kept: Any = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise HarnessError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # of a file that is torn, or holds objects, torch says all sorts of things
        raise HarnessError(f"{path} holds no weights: it is torn, or more than tensors") from error
    if not isinstance(kept, dict) or _wrong(kept) is not None or not _tensors(kept.get("state")):
        raise HarnessError(f"{path} holds something else than the weights of a run")
    return kept


_wrong = checker(Annotated[dict[str, Any], Keys({"inputs": list[int], "outputs": int, "vocabulary": int | None})])


def _tensors(state: Any) -> bool:
    return isinstance(state, dict) and all(isinstance(n, str) and isinstance(t, Tensor) for n, t in state.items())


def load_model(run: str | Path | Record) -> nn.Module:
    """The trained model of a run, in evaluation mode on the CPU: a Record, or the run's folder.

    Raises HarnessError if the run has kept no weights.
    """
    record = record_of(run)
    chosen = record.config.get("model")
    if not isinstance(chosen, dict) or not isinstance(chosen.get(KEY), str):
        raise HarnessError(f"{record.folder}: its record names no model")
    if trait("model", chosen, "estimator", False):
        raise HarnessError(f"{record.folder}: model {chosen[KEY]} is fitted at once, and keeps no weights")
    if not (record.folder / WEIGHTS).exists():
        raise HarnessError(f"{record.folder} has no weights (save=none, or not completed)")
    kept = read_weights(record.folder)
    try:
        return _model(record, kept)
    except HarnessError:
        raise
    except Exception as error:  # a config or weights that anyone may have written
        raise HarnessError(f"{record.folder / WEIGHTS} does not fit its run's config: {one_line(error)}") from error


def _model(record: Record, kept: dict[str, Any]) -> nn.Module:
    regularizers = [
        component("regularizer", node, classes=kept["outputs"], total_steps=1)
        for node in record.config["regularizer"].values()
    ]
    model = make_model(record.config, tuple(kept["inputs"]), kept["outputs"], kept["vocabulary"], regularizers)
    state = kept["state"]
    model = scaled_for(state, model)
    floats = [state[name].dtype for name, p in model.named_parameters() if p.is_floating_point()]
    model.to(floats[0] if floats else torch.float32).load_state_dict(state)
    return model.eval()
