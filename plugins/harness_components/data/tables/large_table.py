"""Tables larger than memory: read some rows at a time, and kept as the encoded rows that training reads."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Generator

from harness import SPLITS, Dataset, Divided, Split, disk, from_stored
from harness_components.data.files import targets
from harness_components.data.files.targets import TargetColumn
from harness_components.data.tables.divide import dividing_values, division
from harness_components.data.tables.encoder import Encoder
from harness_components.data.tables.plan import Choice, Plan, check_values, make_plan
from harness_components.data.tables.reader import Table
from harness_components.data.tables.target import all_targets, infer_column, target_values

FITTED_ON = 100_000  # largest number of training rows for medians and categories
FITTED_BYTES = 1 << 24  # approximate size of these rows: wide tables are fitted on fewer
_PARTS = "parts.npz"


def large_table(table: Table, choice: Choice, cache_dir: Path, split: Split, generator: Generator) -> Dataset:
    """Build the data set of a table without holding it in memory.

    Types are inferred from all rows; medians and categories from some of the training rows.
    """
    rows = max(1, disk.BLOCK_BYTES // (8 * max(1, len(table.columns))))

    def make(folder: Path) -> str:
        plan = make_plan(table, choice, rows)
        check_values(table, plan, choice, rows)
        target, column = infer_column(table, plan, choice, rows), plan.column(choice.target)
        parts = _division(table, plan, choice, rows, target, split, generator)
        encoder = _fitted(table, plan, parts["train"], rows)

        def chunks() -> Iterator[disk.Chunk]:
            for frame in table.frames(rows):
                y = target_values(frame[choice.target], column, choice, plan)
                yield encoder.transform(encoder.columns(frame)), target.encode(y)

        np.savez(folder / _PARTS, **{name: parts[name].numpy() for name in SPLITS})  # type: ignore[arg-type]
        about: dict[str, Any] = {"kind": target.kind, "classes": target.classes, "columns": encoder.names}
        about |= {"left_out": plan.left_out, "remarks": (*plan.remarks, *target.remarks)}
        return disk.write(folder, chunks(), table.file.name, **about)

    settings = (choice, table.about, split.seed, split, generator.initial_seed())
    name = disk.name_for(table.file, settings, _readers(), np.__version__, pd.__version__)
    folder = disk.keep(Path(cache_dir) / "files", name, make)
    about = disk.read_about(folder)
    with np.load(folder / _PARTS) as stored:
        parts = {split_name: torch.from_numpy(stored[split_name]) for split_name in SPLITS}
    dataset = from_stored(folder, parts, target=about["kind"], classes=about["classes"])
    columns = tuple(about["columns"])
    digest = hashlib.sha256(repr((dataset.digest, columns)).encode()).hexdigest()[:16]
    return dataclasses.replace(
        dataset,
        digest=digest,
        columns=columns,
        encode=_Refitted(table, choice, parts["train"], rows),
        left_out=about["left_out"],
        remarks=tuple(about["remarks"]),
    )


def _readers() -> list[bytes]:
    """Return the sources that decide how a file is read: a change in one of them invalidates kept samples."""
    here = Path(__file__).parent
    files = [Path(str(disk.__file__)), *here.glob("*.py"), Path(str(targets.__file__))]
    return [file.read_bytes() for file in sorted(files)]


def _division(
    table: Table, plan: Plan, choice: Choice, rows: int, target: TargetColumn, split: Split, generator: Generator
) -> Divided:
    name = choice.group or choice.order
    values: Any = None
    classes = None
    if name:
        frames = table.frames(rows, [name])
        values = np.concatenate([dividing_values(frame, plan, choice) for frame in frames])
    elif target.kind == "class":
        classes = target.encode(all_targets(table, plan, choice, rows))
    return division(values, plan.rows, choice, split, generator, classes)


def _fitted(table: Table, plan: Plan, train: torch.Tensor, rows: int) -> Encoder:
    encoder = Encoder(plan, table)
    limit = min(FITTED_ON, FITTED_BYTES // (8 * max(1, len(plan.inputs))))
    chosen = np.sort(train[: max(1, limit)].numpy())
    start, samples = 0, []
    for frame in table.frames(rows):
        here = chosen[(chosen >= start) & (chosen < start + len(frame))] - start
        samples.append(encoder.columns(frame.iloc[here].reset_index(drop=True)))
        start += len(frame)
    return encoder.fit(pd.concat(samples, ignore_index=True))


class _Refitted:
    """The encoder of a table, fitted again on first use: kept samples do not include it."""

    def __init__(self, table: Table, choice: Choice, train: torch.Tensor, rows: int) -> None:
        self._source = table, choice, train, rows
        self._encoder: Encoder | None = None

    def __call__(self, rows: Any) -> np.ndarray:
        if self._encoder is None:
            table, choice, train, count = self._source
            self._encoder = _fitted(table, make_plan(table, choice, count), train, count)
        return self._encoder(rows)
