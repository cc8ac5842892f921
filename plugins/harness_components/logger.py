"""Loggers, by Lightning: they see every metric that a run measures."""

from __future__ import annotations

import os
import socket
import struct
import time
import zlib
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor

import harness

EVERY_S = 1.0  # TensorBoard sees a run's scalars at most this much later


class Events(Logger):
    """Scalars in a TensorBoard event file. Torch's writer keeps a file and a thread for each run, and a cohort is
    hundreds of runs: this one holds events back for a second, and opens its file to append them.
    """

    def __init__(self, run_dir: str, name: str) -> None:
        super().__init__()
        self._dir, self._name = Path(run_dir), name
        stamp = f"{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self.path = self._dir / f"events.out.tfevents.{stamp}"
        self._held = [Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()]
        self._written = 0.0

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return ""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """Torch's own writer on the same folder, for what is no scalar; made when it is first asked for."""
        if not hasattr(self, "_writer"):
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._dir))
        return self._writer

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the record holds the config."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """One event with a scalar for each metric."""
        values = [Summary.Value(tag=tag, simple_value=float(value)) for tag, value in metrics.items()]
        event = Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values))
        self._held.append(event.SerializeToString())
        if time.monotonic() - self._written > EVERY_S:
            self.save()

    def log_image(self, key: str, images: Sequence[Tensor], step: int | None = None) -> None:
        """One event with an image [1 or 3, H, W] of values in 0 .. 1, or with several."""
        values = []
        for index, image in enumerate(images):
            channels, height, width = image.shape
            shown = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png(image))
            values.append(Summary.Value(tag=f"{key}/{index}" if len(images) > 1 else key, image=shown))
        event = Event(wall_time=time.time(), step=step or 0, summary=Summary(value=values))
        self._held.append(event.SerializeToString())

    def save(self) -> None:
        """Hands all events over to the file system."""
        if self._held:
            with open(self.path, "ab") as file:
                writer = RecordWriter(file)
                for event in self._held:
                    writer.write(event)
            self._held = []
        self._written = time.monotonic()

    def finalize(self, status: str) -> None:
        """The run has ended."""
        self.save()
        if hasattr(self, "_writer"):
            self._writer.close()


def png(image: Tensor) -> bytes:
    """An image [1 or 3, H, W] of values in 0 .. 1 as a PNG file (ISO/IEC 15948), without a library for it."""
    levels = (image.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    height, width, channels = levels.shape

    def chunk(name: bytes, content: bytes) -> bytes:
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in levels)  # 0: as it is, not as differences
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@harness.logger
def tensorboard(run_dir: str, name: str) -> Logger:
    """Scalars and pictures in a TensorBoard event file in the run's folder."""
    return Events(run_dir, name)


@harness.logger
def csv(run_dir: str, name: str) -> CSVLogger:
    """A wide metrics.csv in the run's folder, one row a step (curves.csv, in long form, is always there)."""
    return CSVLogger(run_dir, name="", version="")
