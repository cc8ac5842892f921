"""Predict the seconds of an epoch alone and in a stack for runs of a kind whose cost is known, without a timing trial.

The model holds for steps on the CPU that are recorded, of built-in components with dense layers and torch's fused
optimizers. Its seconds were fitted to measurements (docs/explanation/stacking.md); other machines differ from them by a
factor that is nearly the same for both paths. Where the paths are too close for that, the timing trial decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.datasets.dataset import SPLITS
from harness.execution.preparation import RunSpec
from harness.execution.sweep.timing_trial import TimingTrial
from harness.modeling.builder import make_optimizer
from harness.registry.code_state import is_plugin
from harness.registry.registry import REGISTRY
from harness.results.run_id import components
from harness.training.recorded.fused_optimizer import has_kernel

STEP_S, EVALUATION_S = 0.25e-3, 1.0e-3  # a step and an evaluation of one run beside the kernels
STACK_STEP_S, STACK_EVALUATION_S = 1.0e-3, 2.0e-3  # the same of a stack
OPTIMIZER_S = 0.1e-3  # a step of an optimizer that several rows of a stack share
OPERATIONS_PER_S = 50e9  # of one thread in kernels
NOISE_S = 20e-9  # of the noise on one activation, as of dropout
MEMBERS = 64  # runs of the stack that is modelled, at most
SURE = 0.7  # a stack is chosen without a trial if it promises at most this part of the time alone
SHORT_S = 5.0  # the runs of a group take so long alone, at most, where a trial would take longer than it can save


def predict(group: Sequence[RunSpec]) -> TimingTrial | None:
    """Return the seconds of an epoch that the model predicts for the runs of a group; None if it is unsure.

    Args:
        group: Runs of one shape that can be stacked.
    """
    first = group[0]
    probe, plan = first.probe, first.plan
    if probe is None or not probe.dense or probe.work is None or len(group) < 2 or not _is_known(first):
        return None
    items = sum(first.record.data[split] for split in SPLITS)
    kernels = probe.work * (2 * plan.n + items) * plan.each / OPERATIONS_PER_S  # a step costs three forward passes
    if probe.noisy:
        kernels += (probe.activations or 0) * plan.n * plan.each * NOISE_S
    members = min(len(group), MEMBERS)
    optimizers = len({repr((spec.values["optimizer"], spec.values["scheduler"])) for spec in group[:members]})
    alone = plan.batches * STEP_S + EVALUATION_S + kernels
    step = STACK_STEP_S + optimizers * OPTIMIZER_S
    fused = (plan.batches * step + STACK_EVALUATION_S) / members + kernels
    short = len(group) * plan.epochs * alone <= SHORT_S
    return TimingTrial(alone, alone, fused) if short or fused <= SURE * alone else None


def _is_known(spec: RunSpec) -> bool:
    """Return True if the model holds for a run."""
    values = spec.values
    single = values["trainer"].get("precision") in (None, "32-true")
    if spec.device != "cpu" or values["recording"] == "never" or not single:
        return False
    if any(is_plugin(REGISTRY.get(kind, name)) for kind, name in components(values)):
        return False
    leaf = torch.nn.Parameter(torch.zeros(1))
    optimizer = make_optimizer(
        values["optimizer"], params=[leaf], named_params=[("leaf", leaf)], total_steps=1, generator=torch.Generator()
    )
    return has_kernel(optimizer)
