"""Tests of machine diagnostics: throughput of an epoch, and time spent waiting for a loader."""

from __future__ import annotations

import csv
import time
from pathlib import Path

import torch
from torch.utils.data import Dataset

import harness
from harness.results.record import Record
from harness.training.diagnostics.system import Machine, TimedLoader


class Slow(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        time.sleep(0.05)
        return torch.tensor(index)


def test_loader_counts_waiting_time_only() -> None:
    batches = TimedLoader(Slow(), batch_size=2)
    machine = Machine(batches)
    machine.begin()
    for _ in batches:
        time.sleep(0.1)
    values = machine.end(4, torch.device("cpu"))
    assert 0.2 <= batches.seconds <= 4  # four samples; longer on a busy machine
    assert 0 < values["waiting"] < 1
    assert values["samples_per_s"] <= 4 / 0.4
    assert values["memory"] > 1e7
    machine.begin()
    assert machine.end(1, torch.device("cpu"))["waiting"] == 0


def test_data_in_memory_has_no_waiting_time() -> None:
    machine = Machine(object())
    machine.begin()
    sum(range(300_000))
    values = machine.end(8, torch.device("cpu"))
    assert values["waiting"] == 0
    assert 0 < values["cores"] <= 1.5


def series(record: Record, metric: str) -> list[float]:
    rows = csv.DictReader((record.folder / "curves.csv").read_text().splitlines())
    return [float(row["value"]) for row in rows if row["metric"] == metric]


def test_system_diagnostics_are_recorded_each_epoch(workdir: Path) -> None:
    line = ["epochs=2", "batch_size=200", "diagnostic=[systems]", "diagnostic_budget=1000", "trainer=cpu"]
    record = harness.run(line)
    assert series(record, "systems/waiting") == [0, 0]
    assert all(
        value > 0 for name in ("samples_per_s", "cores", "memory") for value in series(record, f"systems/{name}")
    )
    diagnostics = record.diagnostics["systems"]
    assert diagnostics["interval"] == record.time["steps"] // 2
    assert diagnostics["cost_share"] > 0


def test_runs_of_a_stack_share_their_system_values(workdir: Path) -> None:
    line = ["epochs=2", "batch_size=200", "diagnostic=[systems]", "trainer=cpu", "seed=0,1", "path=fused"]
    one, other = harness.sweep([*line, "executor=in_process"])
    assert series(one, "systems/samples_per_s") == series(other, "systems/samples_per_s")
