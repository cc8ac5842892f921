"""A progress bar for sweeps in notebooks."""

from __future__ import annotations

import html
import sys
from collections import Counter
from typing import Any

from harness.execution.sweep.callbacks import SweepCallback
from harness.results.record import Record


def in_notebook() -> bool:
    """Return True in the kernel of a notebook (Jupyter, Colab), and False at an IPython prompt and elsewhere."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return "IPKernelApp" in getattr(shell, "config", {})


class NotebookProgress(SweepCallback):
    """Shows how many runs of a sweep have ended, in the output of the notebook's cell."""

    def __init__(self) -> None:
        self.jobs = 0
        self.counts: Counter[str] = Counter()
        self._shown: Any = None

    def on_sweep_start(self, jobs: int) -> None:
        self.jobs = jobs
        self._show()

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        self.jobs = jobs or self.jobs
        self.counts["already complete" if record.cached else record.status] += 1
        self._show()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"{self.counts.total()} of {self.jobs} runs" + (f": {counts}" if counts else "")

    def _repr_html_(self) -> str:
        bar = f'<progress value="{self.counts.total()}" max="{max(self.jobs, 1)}"></progress>'
        return f"{bar} {html.escape(repr(self))}"

    def _show(self) -> None:
        if self._shown is None:
            self._shown = sys.modules["IPython"].display.display(self, display_id=True)
        else:
            self._shown.update(self)
