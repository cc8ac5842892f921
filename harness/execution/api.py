"""The functions of `harness`: train runs and sweeps, and load what they left.

Each imports what it needs when it is called: reading records needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.system.errors import HarnessError

if TYPE_CHECKING:
    import torch

    from harness.datasets.dataset import Dataset
    from harness.execution.prediction import Prediction
    from harness.results.record import Record, Records


def run(overrides: Sequence[str] = (), *, config_dir: str | None = None) -> Record:
    """Trains one run, as `harness OVERRIDES` does, and returns its record (at once where it is already complete).

    Raises HarnessError for what the command line refuses. A run that fails in training is a failed record.
    """
    from harness.config.composition import compose
    from harness.config.error_messages import plain_errors
    from harness.execution.train import train

    with plain_errors():
        return train(compose(_words(overrides, "run"), config_dir))


def sweep(overrides: Sequence[str], *, config_dir: str | None = None) -> Records:
    """Trains a sweep, as `harness -m OVERRIDES` does, and returns the records in the order of the jobs."""
    from harness.config.error_messages import plain_errors
    from harness.execution.hydra_app import multirun
    from harness.execution.sweep.events import watching
    from harness.results.record import Records

    found: list[tuple[int, Record]] = []
    with plain_errors(), watching(lambda place, jobs, record: found.append((place, record))):
        multirun(_words(overrides, "sweep"), config_dir)
    return Records([record for _, record in sorted(found, key=lambda row: row[0])])


def _words(overrides: Sequence[str], function: str) -> list[str]:
    """Return the overrides as a list. Raises HarnessError for a text, whose letters would be taken for overrides."""
    if isinstance(overrides, str):
        raise HarnessError(f"overrides must be a list: write harness.{function}({overrides.split()}), not a text")
    if isinstance(overrides, Mapping):
        listed = [f"{key}={value}" for key, value in overrides.items()]
        raise HarnessError(f"overrides must be a list: write harness.{function}({listed}), not a mapping")
    words = list(overrides) if isinstance(overrides, Iterable) else [overrides]
    if not all(isinstance(word, str) for word in words):
        raise HarnessError(f"overrides must be a list of texts, each KEY=VALUE, got {words}")
    return words


def load(folder: str | Path) -> Records:
    """The records below a folder, or of a study by its name under outputs/. Their folders are absolute."""
    from harness.results.study import load as load_records
    from harness.results.study import study_folder

    return load_records(study_folder(folder).absolute())


def load_model(run: str | Path | Record) -> torch.nn.Module:
    """The trained model of a run, in evaluation mode on the CPU. It takes transformed inputs: see `predict`."""
    from harness.modeling.weights import load_model as load_weights
    from harness.system.process_state import as_new

    with as_new():
        return load_weights(run)


def load_data(run: str | Path | Record, *, transformed: bool = True) -> Dataset:
    """The data set that a run saw: splits, transforms and names of classes. Raises HarnessError if it has changed.

    With transformed=False, inputs are as they were before the transforms.
    """
    from harness.config.error_messages import plain_errors
    from harness.execution.prediction import load_data as of_run
    from harness.system.process_state import as_new

    with plain_errors(), as_new():
        return of_run(run, transformed=transformed)


def predict(run: str | Path | Record, x: Any) -> Prediction:
    """What a run predicts for new samples, with the names of classes.

    `x` is [N, ...] as the data was before transforms: an array, a tensor or lists; of a table also a DataFrame or the
    path of a file.
    """
    from harness.config.error_messages import plain_errors
    from harness.execution.prediction import predict as of_run
    from harness.system.process_state import as_new

    with plain_errors(), as_new():
        return of_run(run, x)
