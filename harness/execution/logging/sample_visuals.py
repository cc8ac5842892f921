"""Pictures of what a run has learned: what its task shows of it, each tag as one grid."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.datasets.dataset import Samples, first_inputs
from harness.execution.final_metrics import PICTURES, calling, trained
from harness.execution.logging.images import grid
from harness.modeling.rng.noise import Noise, keys
from harness.modeling.rng.torch_functions import Redirect
from harness.modeling.task import Task
from harness.training.fit import Run

SHOWN = 64  # samples


def pictures(run: Run) -> dict[str, Tensor]:
    """{tag: a grid [3 or 1, H, W] of values in 0 .. 1} of a finished run's model on validation samples.

    Black and white are the least and the largest number of these samples' inputs. Nothing where samples are no images.
    """
    task = run.parts.task
    if type(task).pictures is Task.pictures or run.state.weights is None or len(run.dataset.inputs) != 3:
        return {}
    model = trained(run)
    dtype = next((p.dtype for p in model.parameters()), torch.float32)
    x = first_inputs(run.dataset, SHOWN, "val").to(dtype)
    y = torch.stack([torch.as_tensor(_target(run, i)) for i in range(len(x))])
    noise = Noise(keys(torch.tensor(run.plan.seed), PICTURES))
    with torch.no_grad(), Redirect(noise):
        made = task.pictures(calling(model), (x, y), noise)
    low, span = x.min(), (x.max() - x.min()).clamp_min(1e-12)
    return {tag: grid(((images - low) / span).clamp(0, 1)) for tag, images in made.items()}


def _target(run: Run, index: int) -> Any:
    part = run.dataset.val
    return part.y[index] if isinstance(part, Samples) else part[index][1]
