"""Studies on the disk that were never trained: records with curves, in the layout of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import harness
from harness.results.record import Record, write
from tests.helpers.studies import noise, study

LEVELS = {"optimizer": ["adam", "sgd"]}
COMMAND = "harness -m optimizer=adam,sgd 'seed=range(3)' 'split.seed=${seed}' study=ab"


def save(folder: Path, records: Sequence[Record], first: int = 0) -> list[Record]:
    """Write records with curves below the folder of a study, and return them as they are read.

    Args:
        folder: Folder of the study.
        records: The records.
        first: Number of the first one, of which its ID is made.
    """
    for number, record in enumerate(records, first):
        run = folder / f"{record.name}-{number:012x}"
        (run / ".hydra").mkdir(parents=True)
        (run / ".hydra" / "config.yaml").write_text("seed: 0\n")
        write(replace(record, id=f"{number:012x}", study=folder.name, folder=run), durable=False)
        rows = [f"{step},{step // 2},val/loss,{1 / (number + step)!r}\n" for step in range(1, 5)]
        (run / "curves.csv").write_text("".join(["step,epoch,metric,value\n", *rows]))
        (run / "weights.pt").write_bytes(b"weights")
    return list(harness.load(folder))


def small(folder: Path, seeds: Sequence[int] = (0, 1, 2), first: int = 0) -> list[Record]:
    """Save a study of two optimizers."""
    records = study(LEVELS, accuracy, seeds, command=COMMAND)
    return save(folder, records, first)


def accuracy(optimizer: str, seed: int) -> float:
    """Return the accuracy of a run."""
    return round((0.9 + 0.02 * (optimizer == "adam") + noise(optimizer, seed, sd=0.004)) * 400) / 400
