"""Inner modules of harness that the doctor uses and that import torch."""

from harness._compat.torch import BatchNormBase
from harness.datasets.dataset import SPLITS, size
from harness.datasets.loading import Loaded, Loader, usable
from harness.datasets.sampling import first_samples, sampled
from harness.execution.preparation import make_plan, prepare
from harness.execution.resolve import resolve
from harness.execution.run_recorder import make_member
from harness.modeling.builder import build
from harness.modeling.calling import calling
from harness.modeling.diagnostic import Layer
from harness.modeling.estimator import EstimatorModule
from harness.modeling.unused import OF_STEPS, OF_TRAINING
from harness.modeling.weights import load_model
from harness.registry.instantiate import trait
from harness.results.run_dir import WEIGHTS
from harness.training.diagnostics.hooks import module_roles
from harness.training.diagnostics.inputs import DiagnosticInputs, Step
from harness.training.diagnostics.view import without_running_stats
from harness.training.diagnostics.views import PathView
from harness.training.fit import Run, fit, make_trainer, transformed_splits
from harness.training.memory.estimate import MemoryEstimate, estimate_memory
from harness.training.plan import Plan, evaluation_tuples
from harness.training.resources import free_bytes, use_threads
from harness.training.single import SinglePath

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
    "estimate_memory",
    "evaluation_tuples",
    "first_samples",
    "fit",
    "free_bytes",
    "load_model",
    "make_member",
    "make_plan",
    "make_trainer",
    "module_roles",
    "prepare",
    "resolve",
    "sampled",
    "size",
    "trait",
    "transformed_splits",
    "usable",
    "use_threads",
    "without_running_stats",
]
