"""Make a data set of a table."""

from __future__ import annotations

from pathlib import Path

from torch import Generator

from harness import Dataset, HarnessError, Split, from_arrays
from harness_components.data.files.arrays import is_large
from harness_components.data.tables.divide import dividing_values, division
from harness_components.data.tables.encoder import Encoder
from harness_components.data.tables.large_table import large_table
from harness_components.data.tables.plan import Choice, check_values, make_plan
from harness_components.data.tables.reader import Table
from harness_components.data.tables.target import infer_column, target_values


def load(
    table: Table, choice: Choice, in_memory: bool | str, cache_dir: Path, split: Split, generator: Generator
) -> Dataset:
    """Return the data set of a table, held in memory or read from stored samples.

    Raises:
        HarnessError: If the settings do not fit the table, or its values cannot be used.
    """
    if not choice.target:
        raise HarnessError("data.target must name a column, got ''")
    if choice.group and choice.order:
        raise HarnessError("data.group and data.order divide the rows in two ways: choose one")
    if is_large(table.file, in_memory):
        return large_table(table, choice, cache_dir, split, generator)
    plan = make_plan(table, choice)
    check_values(table, plan, choice)
    target = infer_column(table, plan, choice)
    (frame,) = table.frames()
    y = target.encode(target_values(frame[choice.target], plan.column(choice.target), choice, plan))
    classes = y if target.kind == "class" else None
    parts = division(dividing_values(frame, plan, choice), len(frame), choice, split, generator, classes)
    encoder = Encoder(plan, table)
    columns = encoder.columns(frame)
    encoder.fit(columns.iloc[parts["train"].numpy()])
    return from_arrays(
        encoder.transform(columns),
        y,
        split,
        generator,
        target=target.kind,
        classes=target.classes,
        parts=parts,
        columns=encoder.names,
        encode=encoder,
        left_out=plan.left_out,
        remarks=(*plan.remarks, *target.remarks),
    )
