"""Use a finished run: load its data, predict new samples with its model, evaluate it on other data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.config.job import Job
from harness.config.overrides import parse
from harness.config.settings import Settings
from harness.config.validation import check_values
from harness.datasets.dataset import Dataset, Samples
from harness.datasets.loading import load, load_untransformed, usable
from harness.datasets.precision import exact
from harness.modeling.builder import make_model, make_task
from harness.modeling.calling import calling, cast, dtype_of
from harness.modeling.estimator import EstimatorModule
from harness.modeling.task import Call, Task
from harness.modeling.weights import load_model
from harness.registry import catalogue
from harness.registry.instantiate import trait
from harness.registry.kinds import KEY, KINDS
from harness.results.record import Record
from harness.results.study import find_weights, record_of
from harness.system.errors import HarnessError, suggest
from harness.training.single import EVALUATION_ELEMENTS

EVALUATIONS = "evaluations"  # that records are written into, unless study= names another
# What an evaluation may change in the config of the run.
KEYS = (
    "data", "corruption", "split", "metric", "diagnostic", "logger", "batch_size", "trainer", "study", "output_root",
    "objective", "rerun", "cache_dir",
)  # fmt: skip
# How the run was launched and saved, which its evaluation does not take over.
_OWN = (
    "output_root", "resume", "checkpoint_every", "save", "path", "recording", "rerun", "fail_fast", "jobs", "objective",
)  # fmt: skip


@dataclass(frozen=True)
class Prediction:
    """Predictions for some samples.

    Attributes:
        values: The outputs of the task: logits `[N, C]`, numbers `[N, D]` in the unit of the target, reconstructions
            `[N, ...]`, or squared distances to cluster centres `[N, K]`.
        probabilities: Probabilities of classes or labels, `[N, C]`, or None.
        classes: The names of classes or labels.
        labels: The most probable class of each sample. For labels, a tuple of those with a probability above 1/2.
            Empty if the task predicts no classes.
    """

    values: Tensor
    probabilities: Tensor | None = None
    classes: tuple[str, ...] = ()
    labels: tuple[Any, ...] = ()

    def __len__(self) -> int:
        return len(self.values)


def load_data(run: str | Path | Record, *, transformed: bool = True) -> Dataset:
    """Load the data set of a run: its splits after corruptions and transforms, with the names of its classes.

    Args:
        run: A record, or the folder of a run.
        transformed: If False, leave out the transforms, so that inputs are as `predict` takes them.

    Raises:
        HarnessError: If the data cannot be read, or has changed since the run.
    """
    record = record_of(run)
    loaded = load(record.config) if transformed else load_untransformed(record.config)
    recorded = record.data.get("digest")
    if loaded.digest != recorded:
        raise HarnessError(
            f"data {record.config['data'][KEY]} has changed since {record.folder} was trained on it "
            f"(digest {recorded} then, {loaded.digest} now)"
        )
    return loaded.dataset


def predict(run: str | Path | Record, x: Any) -> Prediction:
    """Predict new samples with the model of a run, after the transforms that were fitted on its training data.

    Corruptions are not applied to new samples. An estimator keeps no weights, and is fitted again.

    Args:
        run: A record, or the folder of a run.
        x: Inputs `[N, ...]` as the data had them before transforms: an array, a tensor or lists; for a table also a
            DataFrame or the path of a file, with the columns of the training data.

    Returns:
        The predictions, with the names of the classes.

    Raises:
        HarnessError: If the run has kept no weights, its data has changed, its task predicts nothing for single
            samples, or `x` does not fit.
    """
    record = record_of(run)
    estimator = trait("model", record.config["model"], "estimator", False)
    trained = None if estimator else load_model(record)
    dataset = load_data(record)
    task = make_task(record.config, dataset)
    inputs = _inputs(dataset, x, record)
    model = _fitted(record, task, dataset) if trained is None else trained
    call, dtype = calling(model), dtype_of(model)
    batches = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.config["seed"])
        for rows in inputs.split(max(1, EVALUATION_ELEMENTS // math.prod(dataset.inputs))):
            batches.append(_infer(task, call, cast(dataset.transform(rows), dtype), record))
    values = torch.cat(batches)
    probabilities = task.probabilities(values)
    if probabilities is None:
        return Prediction(values)
    names = dataset.classes
    labels: tuple[Any, ...] = tuple(names[i] for i in probabilities.argmax(1).tolist())
    if dataset.target == "labels":
        rows_of_labels = (probabilities > 0.5).tolist()
        labels = tuple(tuple(name for name, has in zip(names, row, strict=True) if has) for row in rows_of_labels)
    return Prediction(values, probabilities, names, labels)


def _infer(task: Task, call: Call, x: Tensor, record: Record) -> Tensor:
    values = task.infer(call, x)
    if not isinstance(values, Tensor) or len(values) != len(x):
        raise HarnessError(
            f"task {record.config['task'][KEY]} predicts nothing for single samples: use the model, "
            "harness.load_model(run)"
        )
    return values


def _inputs(dataset: Dataset, x: Any, record: Record) -> Tensor:
    """Return the inputs as a tensor `[N, ...]`. Raise HarnessError if they do not fit the data of the run."""
    shape = dataset.given or dataset.inputs
    name, expected = record.config["data"][KEY], ", ".join(["N", *map(str, shape)])
    if isinstance(x, str | Path) or hasattr(x, "columns"):
        if dataset.encode is None:
            got = type(x).__name__
            raise HarnessError(f"data {name} is not a table: predict expects an array [{expected}], got {got}")
        x = dataset.encode(x)
    try:
        array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    except ValueError as error:
        raise HarnessError(f"predict expects an array [{expected}]: {error}") from error
    if array.dtype.kind not in "fiub":
        raise HarnessError(f"predict expects numbers [{expected}], got an array of {array.dtype}")
    if array.shape[1:] != shape or not array.ndim:
        hint = ": for one sample, pass x[None]" if array.shape == shape else ""
        raise HarnessError(f"data {name} has inputs [{expected}], got {list(array.shape)}{hint}")
    if not len(array):
        raise HarnessError(f"predict expects inputs [{expected}], got none")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise HarnessError(f"the inputs hold {array[~np.isfinite(array)][0]}: predict expects finite numbers")
    if dataset.real_inputs:
        return exact(array)
    if (array != np.round(array)).any():
        raise HarnessError(f"data {name} has whole numbers as inputs, got {array[array != np.round(array)][0]}")
    indices = torch.as_tensor(np.require(array, np.int64, ["C", "W"]))
    if (words := dataset.words) and ((indices < 0) | (indices >= words)).any():
        raise HarnessError(f"the inputs are indices of {words} words, from 0, got {indices.min()} .. {indices.max()}")
    return indices


def _fitted(record: Record, task: Task, dataset: Dataset) -> nn.Module:
    """Fit an estimator again, as the run has fitted it."""
    assert isinstance(dataset.train, Samples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.config["seed"])
        module = make_model(record.config, dataset.inputs, task.outputs(dataset), dataset.words, [])
        assert isinstance(module, EstimatorModule)
        model = task.prepare(module, dataset)
        module.estimator.fit(dataset.train)
    return model


def evaluate(run: str | Path | Record, overrides: Sequence[str] = (), command: str = "") -> Record:
    """Evaluate a trained run: its weights, after the transforms that were fitted on its training data.

    Args:
        run: A record, or the folder of a run.
        overrides: Overrides of the run's config, of data, metrics and places.
        command: The command line, for the record.

    Returns:
        The record of the evaluation, a run with `train=false`. An evaluation that is cached is not repeated.

    Raises:
        HarnessError: If an override is refused, or if the run has no weights or does not fit the data.
    """
    record, known, defaults = record_of(run), catalogue.current(), Settings()
    words = [f"init_from={record.study}/{record.id}", *overrides]
    values = usable(record.config) | {name: getattr(defaults, name) for name in _OWN}
    values |= {"init_from": str(find_weights(str(record.folder))), "train": False, "study": EVALUATIONS, "save": "none"}
    values |= {"callback": {}, "diagnostic": {}, "tune": values["tune"] | {"budget": None}}
    for override in parse(list(overrides)):
        if override.is_delete() or override.is_add():
            raise HarnessError(f"harness eval takes KEY=VALUE, got {override.input_line}")
        _set(values, override.key_or_group, override.value())
    checked = check_values(values, known)
    from harness.execution.train import train  # which imports Lightning, and `predict` needs none of it

    return train(Job(checked, words, command=command))


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a choice or a setting in a config."""
    first, *rest = key.split(".")
    if first not in KEYS:
        raise HarnessError(
            f"harness eval trains nothing, so that {first} is that of the run.{suggest(first, KEYS)} "
            f"It takes {', '.join(KEYS)}"
        )
    if first in KINDS and not rest:
        names = value if isinstance(value, list) else [value]
        nodes = {str(name): {KEY: str(name)} for name in names}
        values[first] = nodes if KINDS[first].many else nodes[str(value)]
        return
    node = values
    for word in (first, *rest)[:-1]:
        node[word] = dict(node.get(word) or {})
        node = node[word]
    if first in KINDS and KEY not in node:
        raise HarnessError(f"{key} is set but not chosen: choose it with '{first}=[{rest[0]}]'")
    node[(first, *rest)[-1]] = value
