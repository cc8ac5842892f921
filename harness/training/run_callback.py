"""The base class of the callbacks that observe a run while it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.results.record import Record
    from harness.training.fit import Run
    from harness.training.run_state import RunState


class RunCallback:
    """Base class for run callbacks, which are called in the process that trains the run. All methods are optional.

    An exception of a method fails its run, and no other run of the same stack; an exception of `on_run_end` becomes a
    warning in the record. No method is called for a run that is cached.
    """

    def on_run_start(self, run: Run) -> None:
        """Called when the run is built, before its first step.

        Args:
            run: The components, plan, data and state of the run.
        """

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        """Called after each epoch.

        Args:
            metrics: `train/loss`, `train/lr` and the metrics of validation.
            step: The number of optimizer steps so far.
            epoch: The epoch, counted from 0.
        """

    def on_diagnostics(self, values: Mapping[str, Any], step: int, epoch: int) -> None:
        """Called when diagnostics have measured.

        Args:
            values: The values by `NAME/TAG`: floats, histograms, images, texts, embeddings.
            step: The number of optimizer steps so far.
            epoch: The epoch, counted from 0.
        """

    def on_training_end(self, state: RunState) -> None:
        """Called when training has ended, with success or not, before the record is written.

        Args:
            state: The history, metrics and final weights of the run.
        """

    def on_run_end(self, record: Record) -> None:
        """Called when the record is written, whatever the run's status.

        Args:
            record: The record of the run.
        """
