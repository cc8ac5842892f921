"""Measure the machine while a network trains: its speed, its wait for data, its load and memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import torch
from torch.utils.data import DataLoader


class TimedLoader(DataLoader[Any]):
    """A loader that counts the seconds of waiting for its batches."""

    seconds = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        start = time.perf_counter()
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.seconds += time.perf_counter() - start
            yield batch
            start = time.perf_counter()


class Machine:
    """Measure the training part of epochs, without validation.

    Args:
        batches: The iterable of the fit, from `make_loader`.
    """

    def __init__(self, batches: object) -> None:
        self.loader = batches if isinstance(batches, TimedLoader) else None
        self.process = psutil.Process()
        self._start = (0.0, 0.0, 0.0)

    def begin(self) -> None:
        """Start the clocks at the beginning of an epoch."""
        self._start = self._clocks()

    def end(self, samples: int, device: torch.device) -> dict[str, float]:
        """Return the measurements of an epoch's training.

        Args:
            samples: The samples on which it trained, of all runs.
            device: The device that trained.

        Returns:
            `samples_per_s`; `waiting`, the share of the time in which the loader was waited for; `cores`, the number
            of busy cores; `memory` of the process in bytes; and `device_memory` (bytes) and `device_busy` (share) of
            devices that report them.
        """
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        wall, cpu, waited = (now - then for now, then in zip(self._clocks(), self._start, strict=True))
        values = {
            "samples_per_s": samples / max(wall, 1e-9),
            "waiting": waited / max(wall, 1e-9),
            "cores": cpu / max(wall, 1e-9),
            "memory": float(self.process.memory_info().rss),
        }
        return values | _device_values(device)

    def _clocks(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), self.loader.seconds if self.loader else 0.0


def _device_values(device: torch.device) -> dict[str, float]:
    """Return the measurements that a device reports; a CPU reports none."""
    if device.type == "mps":
        return {"device_memory": float(torch.mps.current_allocated_memory())}
    if device.type != "cuda":
        return {}
    values = {"device_memory": float(torch.cuda.max_memory_allocated(device))}
    try:
        values["device_busy"] = torch.cuda.utilization(device) / 100
    except Exception:  # NVML or its Python package is missing, or the device does not support the query
        return values
    return values
