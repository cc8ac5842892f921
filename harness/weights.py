"""The weights that a run keeps, and its model with them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from harness.build import component, make_model, trait
from harness.errors import HarnessError
from harness.record import Record, load, write_file
from harness.scaling import scaled_for

WEIGHTS = "weights.pt"


def save_weights(folder: Path, weights: dict[str, Tensor], shape: tuple[tuple[int, ...], int, int | None]) -> None:
    """Keeps weights with what building their model again wants: the shape of inputs, the width of outputs, and the
    number of words, where there are some.
    """
    inputs, outputs, vocabulary = shape
    content = {"state": weights, "inputs": list(inputs), "outputs": outputs, "vocabulary": vocabulary}
    write_file(folder / WEIGHTS, lambda file: torch.save(content, file))


def record_of(run: str | Path | Record) -> Record:
    """The record of a run, given itself or by the run's folder. Raises HarnessError if there is none."""
    record = run if isinstance(run, Record) else next(iter(load(run)), None)
    if record is None:
        raise HarnessError(f"{run} has no record of a run")
    return record


def load_model(run: str | Path | Record) -> nn.Module:
    """The trained model of a run, in evaluation mode on the CPU: a Record, or the run's folder.

    Raises HarnessError if the run has kept no weights.
    """
    record = record_of(run)
    if trait("model", record.config["model"], "estimator", False):
        raise HarnessError(f"{record.folder}: model {record.choices['model']} is fitted at once, and keeps no weights")
    if not (record.folder / WEIGHTS).exists():
        raise HarnessError(f"{record.folder} has no weights (save=none, or not completed)")
    kept = torch.load(record.folder / WEIGHTS, weights_only=True, map_location="cpu")
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
