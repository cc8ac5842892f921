"""A trace of some optimizer steps, by torch's profiler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.profiler import ProfilerActivity, profile

SKIPPED = 3  # the first steps set up buffers, and are like no later one
FILE = "trace.json.gz"
VIEWER = "https://ui.perfetto.dev"
_busy: list[Trace] = []  # a process can be traced once at a time


class Trace:
    """Counts the optimizer's steps, whatever trains, and traces those behind the first; for one run at a time."""

    def __init__(self, folder: Path, steps: int) -> None:
        self.path, self.steps, self._seen = folder / FILE, steps, 0
        self._profile: profile | None = None
        self._hook: Any = None
        self.told = f"no trace: the run ended within {SKIPPED} optimizer steps"

    def begin(self) -> None:
        """From now on steps are counted, unless those of another run are."""
        if _busy and _busy[0].path == self.path:  # an earlier attempt of this run that came to nothing
            _busy[0].end()
        if _busy:
            self.told = "no trace: another run of this process is traced at the same time"
            return
        _busy.append(self)
        self._hook = register_optimizer_step_post_hook(lambda *_: self._step())

    def _step(self) -> None:
        self._seen += 1
        if self._seen == SKIPPED:
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
            self._profile = profile(activities=activities, record_shapes=True)
            self._profile.start()
        elif self._seen == SKIPPED + self.steps:
            self.end()

    def end(self) -> None:
        """Writes what was traced, unless that is done."""
        if self._hook is None:
            return
        self._hook.remove()
        self._hook = None
        _busy.remove(self)
        if self._profile is not None:
            self._profile.stop()
            self._profile.export_chrome_trace(str(self.path))
            self.told = f"trace of {self._seen - SKIPPED} optimizer steps: {self.path}, to be opened at {VIEWER}"
