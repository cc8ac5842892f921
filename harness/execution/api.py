"""The public functions of `harness`: train runs and sweeps, load their results, and predict.

Each function imports its modules when it is called, so that reading records does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness.system.errors import HarnessError

if TYPE_CHECKING:
    import torch

    from harness.datasets.dataset import Dataset
    from harness.execution.prediction import Prediction
    from harness.execution.sweep.callbacks import SweepCallback
    from harness.results.record import Record, Records
    from harness.training.run_callback import RunCallback

T = TypeVar("T")


def run(
    overrides: Sequence[str] = (), *, config_dir: str | None = None, callbacks: Sequence[RunCallback] = ()
) -> Record:
    """Train one run, as `harness OVERRIDES` does; a run that is cached is not trained again.

    Args:
        overrides: Hydra overrides, one text each: `["optimizer=adam", "optimizer.lr=0.01"]`.
        config_dir: A folder with presets and experiments of your own, as `--config-dir`.
        callbacks: Callbacks of the run, called in this order.

    Returns:
        The record of the run. A run that fails while it trains is a record with the status "failed".

    Raises:
        HarnessError: If the command line would refuse the overrides.
    """
    from harness.config.composition import compose
    from harness.config.error_messages import plain_errors
    from harness.system.garbage import uncollected

    with uncollected():
        from harness.execution.train import train
        from harness.training.run_callback import RunCallback
    checked = _callbacks(callbacks, RunCallback, "run")
    with plain_errors():
        return train(compose(_words(overrides, "run"), config_dir), checked)


def sweep(
    overrides: Sequence[str] = (),
    *,
    variants: Sequence[Sequence[str]] | None = None,
    config_dir: str | None = None,
    callbacks: Sequence[SweepCallback] = (),
) -> Records:
    """Train a sweep, as `harness -m OVERRIDES` does.

    Args:
        overrides: Hydra overrides; values with commas are swept: `["optimizer=sgd,adam", "seed=0,1,2"]`. The word
            `zip=[KEY,KEY]` lets swept keys vary together; `optimizer+=mine` adds a value to those that a file declares.
        variants: Lists of overrides, each combined with the whole grid: `[[], ["optimizer=sgd", "optimizer.lr=0.1"]]`.
            They replace those that a file declares.
        config_dir: A folder with presets and experiments of your own, as `--config-dir`.
        callbacks: Callbacks of the sweep, called in this order.

    Returns:
        The records, in the order of the jobs.

    Raises:
        HarnessError: If the command line would refuse the overrides.
    """
    from harness.config.error_messages import plain_errors
    from harness.execution.hydra_app import multirun
    from harness.execution.sweep.callbacks import Collector, SweepCallback, using
    from harness.execution.sweep.notebook import NotebookProgress, in_notebook
    from harness.results.record import Records

    checked = _callbacks(callbacks, SweepCallback, "sweep")
    collector = Collector()
    progress = [NotebookProgress()] if in_notebook() else []
    with plain_errors(), using([collector, *progress, *checked]):
        multirun(_words(overrides, "sweep"), config_dir, None if variants is None else list(variants))
    return Records([collector.records[index] for index in sorted(collector.records)])


def _words(overrides: Sequence[str], function: str) -> list[str]:
    """Return the overrides as a list. Refuse a single string: its letters would be taken for overrides."""
    if isinstance(overrides, str):
        raise HarnessError(f"overrides must be a list: write harness.{function}({overrides.split()}), not a text")
    if isinstance(overrides, Mapping):
        listed = [f"{key}={value}" for key, value in overrides.items()]
        raise HarnessError(f"overrides must be a list: write harness.{function}({listed}), not a mapping")
    words = list(overrides) if isinstance(overrides, Iterable) else [overrides]
    if not all(isinstance(word, str) for word in words):
        raise HarnessError(f"overrides must be a list of texts, each KEY=VALUE, got {words}")
    return words


def _callbacks(callbacks: Iterable[T], base: type[T], function: str) -> list[T]:
    """Return the callbacks as a list. Refuse what is no list of objects of the base class."""
    listed = list(callbacks) if isinstance(callbacks, Iterable) else None
    if listed is None or not all(isinstance(callback, base) for callback in listed):
        expected = f"callbacks of harness.{function} must be a list of objects of harness.{base.__name__}"
        raise HarnessError(f"{expected}, got {callbacks if listed is None else listed}")
    return listed


def evaluate(run: str | Path | Record, overrides: Sequence[str] = ()) -> Record:
    """Evaluate a trained run without training, as `harness eval RUN OVERRIDES` does.

    Args:
        run: A record, or the folder of a run.
        overrides: Overrides of the run's data and metrics: `["data=iris", "metric=[f1]"]`.

    Returns:
        The record of the evaluation, which is a run of its own with `train=false`.

    Raises:
        HarnessError: If the command line would refuse the overrides, or if the run has no weights.
    """
    from harness.config.error_messages import plain_errors
    from harness.execution.prediction import evaluate as evaluate_run

    with plain_errors():
        return evaluate_run(run, _words(overrides, "evaluate"))


def load(folder: str | Path) -> Records:
    """Load the records below a folder.

    Args:
        folder: The name of a study under `outputs/`, or the path of a study, a run, a folder of studies, or a
            bundle (a zip file, as `harness export` writes it).

    Returns:
        The records, with absolute folders. Those that cannot be read are left out and named in one warning.

    Raises:
        HarnessError: If there is no such study, or if the bundle is damaged or refused.
    """
    from harness.results.study import load as load_records
    from harness.results.study import open_study

    return load_records(open_study(folder).absolute())


def load_model(run: str | Path | Record) -> torch.nn.Module:
    """Load the trained model of a run.

    Args:
        run: A record, or the folder of a run.

    Returns:
        The model with its trained weights, in evaluation mode, on the CPU. It takes inputs as the run's transforms make
        them: `predict` takes raw ones.

    Raises:
        HarnessError: If the run kept no weights, or what it was made of has changed.
    """
    from harness.modeling.weights import load_model as load_weights
    from harness.system.process_state import as_new

    with as_new():
        return load_weights(run)


def load_data(run: str | Path | Record, *, transformed: bool = True) -> Dataset:
    """Load the data set that a run was trained on.

    Args:
        run: A record, or the folder of a run.
        transformed: Whether inputs are as the run's transforms, fitted on its training split, make them.

    Returns:
        The data set, with the run's splits and the names of the classes.

    Raises:
        HarnessError: If the data has changed since.
    """
    from harness.config.error_messages import plain_errors
    from harness.execution.prediction import load_data as load_data_of_run
    from harness.system.process_state import as_new

    with plain_errors(), as_new():
        return load_data_of_run(run, transformed=transformed)


def predict(run: str | Path | Record, x: Any) -> Prediction:
    """Predict new samples with the trained model of a run.

    Args:
        run: A record, or the folder of a run.
        x: Inputs `[N, ...]` as the data was before transforms: an array, a tensor or lists. For a table also a
            DataFrame, or the path of a file.

    Returns:
        The predictions, with the names of the classes.

    Raises:
        HarnessError: If the run kept no weights, or the inputs do not fit its data.
    """
    from harness.config.error_messages import plain_errors
    from harness.execution.prediction import predict as predict_with_run
    from harness.system.process_state import as_new

    with plain_errors(), as_new():
        return predict_with_run(run, x)
