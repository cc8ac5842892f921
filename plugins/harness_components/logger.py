"""Loggers, by Lightning: they see every metric that a run measures."""

from __future__ import annotations

from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

import harness


@harness.logger
def tensorboard(run_dir: str, name: str) -> TensorBoardLogger:
    """Scalars in a TensorBoard event file in the run's folder."""
    return TensorBoardLogger(run_dir, name="", version="")


@harness.logger
def csv(run_dir: str, name: str) -> CSVLogger:
    """A wide metrics.csv in the run's folder, one row a step (curves.csv, in long form, is always there)."""
    return CSVLogger(run_dir, name="", version="")
