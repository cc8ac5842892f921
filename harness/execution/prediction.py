"""A finished run on new samples: its data, and its predictions with the names of classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.datasets.dataset import Dataset, Samples
from harness.datasets.loading import load, load_untransformed
from harness.datasets.precision import exact
from harness.modeling.builder import make_model, make_task
from harness.modeling.estimator import EstimatorModule
from harness.modeling.task import Call, Task
from harness.modeling.weights import load_model, record_of
from harness.registry.instantiate import trait
from harness.registry.kinds import KEY
from harness.results.record import Record
from harness.system.errors import HarnessError
from harness.training.single import EVALUATED


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
    """The data set that a run saw: its splits, after its corruptions and transforms, with the names of its classes.

    Args:
        run: A record, or the folder of a run.
        transformed: False: before the transforms, as `predict` takes inputs (and after the corruptions).

    Raises:
        HarnessError: If the data cannot be read, or has changed since the run.
    """
    record = record_of(run)
    loaded = load(record.config) if transformed else load_untransformed(record.config)
    known = record.data.get("digest")
    if loaded.digest != known:
        raise HarnessError(
            f"data {record.config['data'][KEY]} has changed since {record.folder} was trained on it "
            f"(digest {known} then, {loaded.digest} now)"
        )
    return loaded.dataset


def predict(run: str | Path | Record, x: Any) -> Prediction:
    """What a run predicts for new samples, which get the transforms that were fitted on its training data.

    Corruptions are faults of the run's own samples, and are not put into new ones. An estimator keeps no weights, and
    is fitted again.

    Args:
        run: A record, or the folder of a run.
        x: Inputs [N, ...] as the data had them before transforms: an array, a tensor or lists; of a table also a
            DataFrame or the path of a file, with the columns of the training data.

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
    dtype = next((p.dtype for p in model.parameters()), torch.float32)

    def call(*given: Any, method: str = "forward") -> Any:
        return model(*given) if method == "forward" else getattr(model, method)(*given)

    made = []
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.config["seed"])
        for rows in inputs.split(max(1, EVALUATED // math.prod(dataset.inputs))):
            made.append(_infer(task, call, _ready(dataset, rows, dtype), record))
    values = torch.cat(made)
    p = task.probabilities(values)
    if p is None:
        return Prediction(values)
    names = dataset.classes
    labels: tuple[Any, ...] = tuple(names[i] for i in p.argmax(1).tolist())
    if dataset.target == "labels":
        labels = tuple(tuple(n for n, held in zip(names, row, strict=True) if held) for row in (p > 0.5).tolist())
    return Prediction(values, p, names, labels)


def _infer(task: Task, call: Call, x: Tensor, record: Record) -> Tensor:
    values = task.infer(call, x)
    if not isinstance(values, Tensor) or len(values) != len(x):
        raise HarnessError(
            f"task {record.config['task'][KEY]} predicts nothing for single samples; harness.load_model gives its model"
        )
    return values


def _inputs(dataset: Dataset, x: Any, record: Record) -> Tensor:
    """Inputs [N, ...] as the data had them. Raises HarnessError for others."""
    shape = dataset.given or dataset.inputs
    name, wanted = record.config["data"][KEY], ", ".join(["N", *map(str, shape)])
    if isinstance(x, str | Path) or hasattr(x, "columns"):
        if dataset.encode is None:
            raise HarnessError(f"data {name} is no table: predict wants an array [{wanted}], got {type(x).__name__}")
        x = dataset.encode(x)
    try:
        array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    except ValueError as error:
        raise HarnessError(f"predict wants an array [{wanted}]: {error}") from error
    if array.dtype.kind not in "fiub":
        raise HarnessError(f"predict wants numbers [{wanted}], got an array of {array.dtype}")
    if array.shape[1:] != shape or not array.ndim:
        one = ": of one sample, x[None]" if array.shape == shape else ""
        raise HarnessError(f"data {name} has inputs [{wanted}], got {list(array.shape)}{one}")
    if not len(array):
        raise HarnessError(f"predict wants inputs [{wanted}], got none")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise HarnessError(f"the inputs hold {array[~np.isfinite(array)][0]}, expected finite numbers")
    if dataset.real_inputs:
        return exact(array)
    if (array != np.round(array)).any():
        raise HarnessError(f"data {name} has whole numbers as inputs, got {array[array != np.round(array)][0]}")
    found = torch.as_tensor(np.require(array, np.int64, ["C", "W"]))
    if (words := dataset.words) and ((found < 0) | (found >= words)).any():
        raise HarnessError(f"the inputs are indices of {words} words, from 0, got {found.min()} .. {found.max()}")
    return found


def _ready(dataset: Dataset, x: Tensor, dtype: torch.dtype) -> Tensor:
    """Transformed, in the precision of the model."""
    x = dataset.transform(x)
    return x.to(dtype) if x.is_floating_point() else x


def _fitted(record: Record, task: Task, dataset: Dataset) -> nn.Module:
    """An estimator, fitted as the run has fitted it."""
    assert isinstance(dataset.train, Samples)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.config["seed"])
        made = make_model(record.config, dataset.inputs, task.outputs(dataset), dataset.words, [])
        assert isinstance(made, EstimatorModule)
        model = task.prepare(made, dataset)
        made.estimator.fit(dataset.train)
    return model
