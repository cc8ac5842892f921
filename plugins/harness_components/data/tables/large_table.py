"""Tables that are larger than memory: read some rows at a time, and kept as the encoded rows that training reads."""

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
from harness_components.data.tables.target import all_targets, target_values, told_target

FITTED_ON = 100_000  # training rows, at most, that medians and categories are taken from
FITTED_BYTES = 1 << 24  # of their values, about: wide tables are fitted on fewer rows
_PARTS = "parts.npz"


def large_table(table: Table, choice: Choice, cache_dir: Path, split: Split, generator: Generator) -> Dataset:
    """The data set of a table, of which some rows at a time are in memory.

    Types are found from all rows; medians and categories from some of the training rows.
    """
    rows = max(1, disk.BLOCK_BYTES // (8 * max(1, len(table.columns))))

    def make(folder: Path) -> str:
        plan = make_plan(table, choice, rows)
        check_values(table, plan, choice, rows)
        found, target = told_target(table, plan, choice, rows), plan.column(choice.target)
        parts = _division(table, plan, choice, rows, found, split, generator)
        encoder = _fitted(table, plan, parts["train"], rows)

        def chunks() -> Iterator[disk.Chunk]:
            for frame in table.frames(rows):
                y = target_values(frame[choice.target], target, choice, plan)
                yield encoder.transform(encoder.columns(frame)), found.encode(y)

        np.savez(folder / _PARTS, **{name: parts[name].numpy() for name in SPLITS})  # type: ignore[arg-type]
        told: dict[str, Any] = {"kind": found.kind, "classes": found.classes, "columns": encoder.names}
        told |= {"left_out": plan.left_out, "remarks": (*plan.remarks, *found.remarks)}
        return disk.write(folder, chunks(), table.file.name, **told)

    how = (choice, table.about, split.seed, split, generator.initial_seed())
    name = disk.name_for(table.file, how, _readers(), np.__version__, pd.__version__)
    folder = disk.keep(Path(cache_dir) / "files", name, make)
    about = disk.read_about(folder)
    with np.load(folder / _PARTS) as kept:
        parts = {split_name: torch.from_numpy(kept[split_name]) for split_name in SPLITS}
    dataset = from_stored(folder, parts, target=about["kind"], classes=about["classes"])
    columns = tuple(about["columns"])
    digest = hashlib.sha256(repr((dataset.digest, columns)).encode()).hexdigest()[:16]
    encode = _Refitted(table, choice, parts["train"], rows)
    told = {"left_out": about["left_out"], "remarks": tuple(about["remarks"])}
    return dataclasses.replace(dataset, digest=digest, columns=columns, encode=encode, **told)


def _readers() -> list[bytes]:
    """What decides how a file is read: kept samples are made again where any of it changes."""
    here = Path(__file__).parent
    files = [Path(str(disk.__file__)), *here.glob("*.py"), Path(str(targets.__file__))]
    return [file.read_bytes() for file in sorted(files)]


def _division(
    table: Table, plan: Plan, choice: Choice, rows: int, found: TargetColumn, split: Split, generator: Generator
) -> Divided:
    name = choice.group or choice.order
    values: Any = None
    classes = None
    if name:
        frames = table.frames(rows, [name])
        values = np.concatenate([dividing_values(frame, plan, choice) for frame in frames])
    elif found.kind == "class":
        classes = found.encode(all_targets(table, plan, choice, rows))
    return division(values, plan.rows, choice, split, generator, classes)


def _fitted(table: Table, plan: Plan, train: torch.Tensor, rows: int) -> Encoder:
    encoder = Encoder(plan, table)
    most = min(FITTED_ON, FITTED_BYTES // (8 * max(1, len(plan.inputs))))
    wanted = np.sort(train[: max(1, most)].numpy())
    at, found = 0, []
    for frame in table.frames(rows):
        here = wanted[(wanted >= at) & (wanted < at + len(frame))] - at
        found.append(encoder.columns(frame.iloc[here].reset_index(drop=True)))
        at += len(frame)
    return encoder.fit(pd.concat(found, ignore_index=True))


class _Refitted:
    """The encoder of a table, fitted again when it is first used: the kept samples do not hold it."""

    def __init__(self, table: Table, choice: Choice, train: torch.Tensor, rows: int) -> None:
        self._how = table, choice, train, rows
        self._encoder: Encoder | None = None

    def __call__(self, rows: Any) -> np.ndarray:
        if self._encoder is None:
            table, choice, train, count = self._how
            self._encoder = _fitted(table, make_plan(table, choice, count), train, count)
        return self._encoder(rows)
