"""What the machine does while a network trains: how fast it is, how long it waits for data, how busy its parts are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import torch
from torch.utils.data import DataLoader


class TimedLoader(DataLoader[Any]):
    """A loader that counts the seconds for which its batches are waited for."""

    seconds = 0.0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        began = time.perf_counter()
        batches = super().__iter__()
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            self.seconds += time.perf_counter() - began
            yield batch
            began = time.perf_counter()


class Machine:
    """Measures the training part of epochs, validation left out. `batches` is what the fit iterates over."""

    def __init__(self, batches: object) -> None:
        self.loader = batches if isinstance(batches, TimedLoader) else None
        self.process = psutil.Process()
        self._began = (0.0, 0.0, 0.0)

    def begin(self) -> None:
        """An epoch begins."""
        self._began = self._clocks()

    def end(self, samples: int, device: torch.device) -> dict[str, float]:
        """What was seen of an epoch's training on so many samples."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        wall, cpu, waited = (now - then for now, then in zip(self._clocks(), self._began, strict=True))
        found = {
            "samples_per_s": samples / max(wall, 1e-9),
            "waiting": waited / max(wall, 1e-9),
            "cores": cpu / max(wall, 1e-9),
            "memory": float(self.process.memory_info().rss),
        }
        return found | _of_device(device)

    def _clocks(self) -> tuple[float, float, float]:
        return time.perf_counter(), time.process_time(), self.loader.seconds if self.loader else 0.0


def _of_device(device: torch.device) -> dict[str, float]:
    """What a device tells of itself; nothing where it is the CPU, or where it tells nothing."""
    if device.type == "mps":
        return {"device_memory": float(torch.mps.current_allocated_memory())}
    if device.type != "cuda":
        return {}
    found = {"device_memory": float(torch.cuda.max_memory_allocated(device))}
    try:
        found["device_busy"] = torch.cuda.utilization(device) / 100
    except Exception:  # NVML or its Python package is not there, or the device does not let itself be asked
        return found
    return found
