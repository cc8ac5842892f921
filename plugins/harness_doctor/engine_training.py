"""Inner modules of harness that the doctor uses and that import torch."""

from harness._compat.torch import BatchNormBase
from harness.datasets.dataset import SPLITS, first_samples, sampled, size
from harness.datasets.loading import Loaded, Loader, usable
from harness.execution.preparation import make_plan, prepare
from harness.execution.resolve import resolve
from harness.execution.run_recorder import make_member
from harness.modeling.builder import build
from harness.modeling.calling import calling
from harness.modeling.diagnostic import Layer
from harness.modeling.estimator import EstimatorModule
from harness.modeling.unused import OF_STEPS, OF_TRAINING
from harness.modeling.weights import WEIGHTS, load_model
from harness.registry.instantiate import trait
from harness.training.diagnostics.hooks import roles
from harness.training.diagnostics.inputs import DiagnosticInputs, Step, untracked
from harness.training.diagnostics.views import PathView
from harness.training.fit import Run, fit, make_trainer, placed
from harness.training.memory.estimate import MemoryEstimate, footprint
from harness.training.memory.heap import free_bytes
from harness.training.plan import Plan
from harness.training.single import SinglePath
from harness.training.threads import using
from harness.training.tuples import evaluated

__all__ = [
    "OF_STEPS",
    "OF_TRAINING",
    "SPLITS",
    "WEIGHTS",
    "BatchNormBase",
    "DiagnosticInputs",
    "EstimatorModule",
    "Layer",
    "Loaded",
    "Loader",
    "MemoryEstimate",
    "PathView",
    "Plan",
    "Run",
    "SinglePath",
    "Step",
    "build",
    "calling",
    "evaluated",
    "first_samples",
    "fit",
    "footprint",
    "free_bytes",
    "load_model",
    "make_member",
    "make_plan",
    "make_trainer",
    "placed",
    "prepare",
    "resolve",
    "roles",
    "sampled",
    "size",
    "trait",
    "untracked",
    "usable",
    "using",
]
