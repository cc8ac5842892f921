"""Callbacks of a run: one base class for whatever observes a run while it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.results.record import Record
    from harness.training.fit import Run
    from harness.training.run_state import RunState


class RunCallback:
    """Base class for callbacks of a run, in the process that trains it. All methods are optional.

    What a method raises is the failure of its run, and not of the runs that are stacked with it; what `on_run_end`
    raises is a warning in the record. No method is called for a run that is cached.
    """

    def on_run_start(self, run: Run) -> None:
        """Called when the run is built, before its first step."""

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
            values: The values by `NAME/TAG`: numbers, histograms, images, texts, embeddings.
            step: The number of optimizer steps so far.
            epoch: The epoch, counted from 0.
        """

    def on_training_end(self, state: RunState) -> None:
        """Called when the run has left its cohort, trained, diverged or failed, before its record is written."""

    def on_run_end(self, record: Record) -> None:
        """Called when the run's record is written, however the run ended."""
