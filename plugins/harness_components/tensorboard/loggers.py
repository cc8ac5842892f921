"""Loggers, by Lightning: they see every metric that a run measures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.logger import Logger

import harness
from harness_components.tensorboard.event_files import Details, Events
from harness_components.tensorboard.trace import Trace


@harness.logger
def tensorboard(
    run_dir: str,
    name: str,
    in_sweep: bool,
    *,
    details: Annotated[
        Literal["auto", "all", "none"],
        "the graph, histograms, pictures and embeddings too: auto, of a run that is no sweep's",
    ] = "auto",
    profile: Annotated[int, Ge(0), "optimizer steps, behind the first three, to trace into trace.json.gz; 0: none"] = 0,
) -> Logger:
    """A TensorBoard event file in the run's folder: scalars, hyperparameters, text, and details of the model."""
    detailed = details == "all" or (details == "auto" and not in_sweep)
    trace = Trace(Path(run_dir), profile) if profile else None
    return (Details if detailed else Events)(run_dir, name, trace)


@harness.logger
def csv(run_dir: str, name: str) -> CSVLogger:
    """A wide metrics.csv in the run's folder, one row a step (curves.csv, in long form, is always there)."""
    return CSVLogger(run_dir, name="", version="")
