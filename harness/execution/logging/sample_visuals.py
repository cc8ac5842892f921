"""Arrange the pictures that a task makes with the trained model of a run in one grid for each tag."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.datasets.dataset import Samples
from harness.datasets.sampling import sampled_inputs
from harness.execution.final_measures import PICTURES, trained
from harness.execution.logging.images import grid
from harness.modeling.calling import calling, dtype_of
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Task
from harness.training.fit import Run

SAMPLES = 64  # for the pictures


def pictures(run: Run) -> dict[str, Tensor]:
    """Return the pictures that the task of a finished run makes for validation samples.

    Returns:
        A grid for each tag, shape `[3 or 1, H, W]`, values in 0 .. 1: from the smallest to the largest number of the
        samples' inputs. Empty if the samples are no images, or if the run has no weights.
    """
    task = run.parts.task
    if type(task).pictures is Task.pictures or run.state.weights is None or len(run.dataset.inputs) != 3:
        return {}
    model = trained(run)
    dtype = dtype_of(model)
    x = sampled_inputs(run.dataset, SAMPLES, "val").to(dtype)
    y = torch.stack([torch.as_tensor(_target(run, i)) for i in range(len(x))])
    noise = Noise(keys(torch.tensor(run.plan.seed), PICTURES))
    with torch.no_grad(), Redirect(noise):
        images_by_tag = task.pictures(calling(model), (x, y), noise)
    low, span = x.min(), (x.max() - x.min()).clamp_min(1e-12)
    return {tag: grid(((images - low) / span).clamp(0, 1)) for tag, images in images_by_tag.items()}


def _target(run: Run, index: int) -> Any:
    part = run.dataset.val
    return part.y[index] if isinstance(part, Samples) else part[index][1]
