"""Loggers, by Lightning: they see every metric that a run measures."""

from __future__ import annotations

from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger

import harness


class _Events(TensorBoardLogger):
    """Without the file of hyper-parameters: the record holds the config."""

    def save(self) -> None:
        self.experiment.flush()


@harness.logger
def tensorboard(run_dir: str, name: str) -> TensorBoardLogger:
    """Scalars in a TensorBoard event file in the run's folder."""
    return _Events(run_dir, name="", version="")


@harness.logger
def csv(run_dir: str, name: str) -> CSVLogger:
    """A wide metrics.csv in the run's folder, one row a step (curves.csv, in long form, is always there)."""
    return CSVLogger(run_dir, name="", version="")
