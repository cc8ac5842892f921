"""TensorBoard's event file of one run, and what may stand beside it."""

from __future__ import annotations

import logging
import os
import socket
import struct
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import google_crc32c
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch import Tensor, nn

from harness_components.tensorboard import event_values as values
from harness_components.tensorboard.graph import graph_of
from harness_components.tensorboard.projector import Projector
from harness_components.tensorboard.trace import Trace

log = logging.getLogger("harness")
EVERY_S = 1.0  # TensorBoard sees a run's scalars at most this much later


class Events(Logger):
    """Scalars, text and hyperparameters in an event file. Torch's writer keeps a file and a thread for each run, and a
    cohort is hundreds of runs: this one holds events back for a second, and opens its file to append them.
    """

    def __init__(self, run_dir: str, name: str, trace: Trace | None = None) -> None:
        super().__init__()
        self._dir, self._name, self._trace = Path(run_dir), name, trace
        stamp = f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self.path = self._dir / f"events.out.tfevents.{stamp}"
        first = _event(time.time(), 0, file_version="brain.Event:2")
        # records, and metrics that are made into some when they are written: between two epochs of a small network the
        # processor has forgotten how, and it costs three times as much
        self._held: list[bytes | tuple[float, int, dict[str, float]]] = [first]
        self._written = time.monotonic()
        self._tags: dict[str, None] = {}  # of scalars, in their order
        self._laid_out = 0  # of them
        self._started = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Torch's own writer on the same folder, for what has no method here; made when it is first asked for."""
        if not hasattr(self, "_writer"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._dir))
        return self._writer

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """The run's row in the table of hyperparameters; its metrics come from the scalars, its status from the end."""
        if self._trace is not None:
            self._trace.begin()
        given = vars(params) if isinstance(params, Namespace) else params
        self._started = True
        self._hold([values.session_start(given, time.time())], 0)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """One event with a scalar for each metric."""
        self._held.append((time.time(), step or 0, dict(metrics)))
        if time.monotonic() - self._written > EVERY_S:
            self.save()

    def log_text(self, key: str, text_markdown: str, step: int | None = None) -> None:
        """A text, in Markdown."""
        self._hold([values.text(key, text_markdown)], step)

    def save(self) -> None:
        """Hands all events over to the file system."""
        self._make()
        self._write()

    def finalize(self, status: str) -> None:
        """The run has ended."""
        if self._trace is not None:
            self._trace.end()
            log.info("%s", self._trace.told, extra={"run_folder": self._dir})
            self.log_text("trace", self._trace.told)
        self._make()
        if self._started:  # the last event of all: TensorBoard then takes the run for ended
            self._hold([values.session_end(status == "success", time.time())], 0)
        self._write()
        if hasattr(self, "_writer"):
            self._writer.close()

    def _make(self) -> None:
        """Records of all that is held, and how the scalars are laid out, where there are new ones."""
        self._held = [held if isinstance(held, bytes) else self._scalars(*held) for held in self._held]
        if len(self._tags) > self._laid_out:
            self._laid_out = len(self._tags)
            self._hold([values.layout(tuple(self._tags))], 0)

    def _write(self) -> None:
        if self._held:
            with open(self.path, "ab") as file:
                file.write(b"".join(held for held in self._held if isinstance(held, bytes)))
            self._held = []
        self._written = time.monotonic()

    def _scalars(self, wall_time: float, step: int, metrics: dict[str, float]) -> bytes:
        self._tags |= dict.fromkeys(metrics)
        shown = [values.scalar(tag, value) for tag, value in metrics.items()]
        return _event(wall_time, step, summary=Summary(value=shown))

    def _hold(self, shown: Sequence[Summary.Value], step: int | None) -> None:
        self._held.append(_event(time.time(), step or 0, summary=Summary(value=shown)))


def _event(wall_time: float, step: int, **content: Any) -> bytes:
    """Return an event as a record of an event file (TFRecord): length, checksum, content, checksum."""
    content_bytes = Event(wall_time=wall_time, step=step, **content).SerializeToString()
    length = struct.pack("<Q", len(content_bytes))
    return b"".join((length, _checksum(length), content_bytes, _checksum(content_bytes)))


def _checksum(content: bytes) -> bytes:
    """Return the CRC-32C as records hold it: rotated by 15 bits, plus a constant."""
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


class Details(Events):
    """The same with all that is larger than a number."""

    def __init__(self, run_dir: str, name: str, trace: Trace | None = None) -> None:
        super().__init__(run_dir, name, trace)
        self._projector = Projector(self._dir)

    def log_image(self, key: str, images: Sequence[Tensor], step: int | None = None) -> None:
        """An image [1 or 3, H, W] of values in 0 .. 1, or several."""
        self._hold(
            [values.image(f"{key}/{i}" if len(images) > 1 else key, image) for i, image in enumerate(images)], step
        )

    def log_histogram(
        self, key: str, counts: Sequence[float] | Tensor, edges: Sequence[float] | Tensor, step: int | None = None
    ) -> None:
        """Log a histogram: counts `[K]` between edges `[K + 1]`."""
        self._hold([values.histogram(key, counts, edges)], step)

    def log_pr_curve(self, key: str, scores: Tensor, truths: Tensor, step: int | None = None) -> None:
        """Precision and recall over the threshold: scores [N] in 0 .. 1, and which of them are to be found [N]."""
        self._hold([values.pr_curve(key, scores, truths)], step)

    def log_embedding(
        self,
        key: str,
        vectors: Tensor,
        labels: Sequence[str] | None = None,
        images: Tensor | None = None,
        step: int | None = None,
    ) -> None:
        """Vectors [N, D] for the projector, with a label and an image [N, C, H, W] in 0 .. 1 for each; the latest of a
        key stands.
        """
        self._projector.add(key, vectors, labels, images)

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        """The model's operations on an input, under the names of its modules. Raises what tracing raises."""
        if input_array is not None:
            self._held.append(_event(time.time(), 0, graph_def=graph_of(model, input_array).SerializeToString()))
