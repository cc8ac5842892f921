"""Refuse a run that has a batch of one sample and cannot train on it, before anything is written."""

from __future__ import annotations

import traceback
import warnings
from typing import Any

import torch
from torch import nn

from harness.datasets.dataset import Dataset
from harness.datasets.sampling import first_samples
from harness.modeling.builder import RunComponents
from harness.modeling.calling import calling
from harness.modeling.estimator import EstimatorModule
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.registry.kinds import KEY
from harness.system.errors import HarnessError, one_line, reraise_interrupt
from harness.training.plan import Plan


def has_single(plan: Plan) -> bool:
    """Return True if the last batch of an epoch holds one sample."""
    return plan.each == 1 and plan.size(plan.batches - 1) == 1


def refuse_single(values: dict[str, Any], parts: RunComponents, dataset: Dataset, plan: Plan) -> None:
    """Try one training pass on a single sample, if the run has a batch of one.

    Args:
        values: The resolved config.
        parts: The objects of the run. The pass changes them; they must not be used afterwards.
        dataset: The data.
        plan: The numbers of samples, batches and steps.

    Raises:
        HarnessError: If the pass fails and one on two samples does not. Batch normalization, for example, needs a
            variance over the batch.
    """
    if not has_single(plan) or isinstance(parts.model, EstimatorModule) or dataset.target == "surface":
        return
    error = _failure(parts, dataset, 1)
    if error is None or _failure(parts, dataset, 2) is not None:  # a failure with any batch is the run's own
        return
    fits = next((size for size in range(plan.batch_size + 1, plan.n + 1) if plan.n % size != 1), None)
    if plan.n == 1:
        why = "there is one training sample"
    elif plan.batch_size == 1:
        why = "batch_size=1 makes only such batches"
    else:
        why = f"batch_size={plan.batch_size} leaves one of {plan.n} training samples in the last batch"
    advice = "" if fits is None else f": choose batch_size={fits}"
    raise HarnessError(f"{_culprit(error, values, parts)} cannot train on a batch of one sample, and {why}{advice}")


def _failure(parts: RunComponents, dataset: Dataset, count: int) -> Exception | None:
    """Return the exception of a training pass on the first sample, repeated `count` times; None if it passes."""
    x, y = (torch.cat([part] * count) for part in first_samples(dataset, 1))
    model, noise = parts.model.train(), Noise(keys(torch.tensor(0), 0))
    if x.is_floating_point():
        model.to(x.dtype)

    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), Redirect(noise):
            warnings.simplefilter("ignore")  # the run itself gives them
            for augment in parts.augmentations:
                x, y = augment(x, y, noise)
            for regularizer in parts.regularizers:
                y = regularizer.target(y)
            with torch.set_grad_enabled(parts.gradient):
                parts.task.losses(calling(model), (x, y), noise)
    except Exception as error:
        reraise_interrupt(error)
        return error
    return None


def _culprit(error: Exception, values: dict[str, Any], parts: RunComponents) -> str:
    """Return the component whose module raised, or else the model with the name of the module."""
    places = {id(module): name for name, module in parts.model.named_modules()}
    callers = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    inner = [module for module in callers if isinstance(module, nn.Module) and places.get(id(module))]
    for module in reversed(inner):
        if (choice := parts.uses.maker(module)) is not None:
            return " ".join(choice)
    model = f"model {values['model'][KEY]}"
    if not inner:
        return f"{model} with loss {values['loss'][KEY]} ({one_line(error)})"
    return f"{model} (its {type(inner[-1]).__name__} {places[id(inner[-1])]})"
