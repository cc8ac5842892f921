"""Tables in files: columns of any type become inputs, and one column is predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from torch import Generator

import harness
from harness import Dataset, Split
from harness_components.data.files.arrays import Held, Kind
from harness_components.data.files.readable import readable

MISSING = (
    "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "#NA", "1.#QNAN",
)  # fmt: skip
_DESCRIBED = "harness_components.data.tables.report"

Names = tuple[str, ...]
Target = Annotated[str, "column to predict"]
Inputs = Annotated[Names, "columns to learn from; []: all usable ones"]
Drop = Annotated[Names, "columns to leave out"]
Categories = Annotated[Names, "columns to read as categories, even if they hold numbers"]
Ordinal = Annotated[Names, "columns of ordered categories, one number each; 'size: S < M < L' gives the order"]
Group = Annotated[str | None, "column whose equal values stay in one split"]
Order = Annotated[str | None, "column to split by: training gets its lowest values, test its highest"]


@harness.data(reads=("path",), describe=_DESCRIBED)
def csv(
    split: Split,
    cache_dir: Path,
    generator: Generator,
    *,
    path: Annotated[str, "path of the file; may be compressed (.gz, .bz2, .xz, .zip)"],
    target: Target,
    kind: Kind = "auto",
    inputs: Inputs = (),
    drop: Drop = (),
    categories: Categories = (),
    ordinal: Ordinal = (),
    missing: Annotated[Names, "texts that stand for a missing value, beside the empty one"] = MISSING,
    group: Group = None,
    order: Order = None,
    encoding: Annotated[str, "text encoding: utf-8, cp949, ...; auto: detect it"] = "auto",
    separator: Annotated[str, "character between two values; \\t is a tab; auto: detect it"] = "auto",
    decimal: Annotated[Literal["auto", ".", ","], "decimal mark; auto: detect it"] = "auto",
    in_memory: Held = "auto",
) -> Dataset:
    """A table in a text file with a header line: one column is the target, the others are inputs.

    Numbers, dates (as days) and yes/no columns become one input each, texts of few different values one input for each
    value (one-hot). Missing values are replaced by the median or the most frequent value of training, and marked by an
    input of their own. Row numbers, ids, free texts and constant columns are left out. `harness show-data` shows the
    treatment of each column.

    A file of more than a gigabyte is read some rows at a time, and its samples are kept under `cache_dir`.
    """
    from harness_components.data.tables import plan, table_dataset, text  # which import pandas

    table = text.TextTable(readable(path), separator, encoding)
    choice = plan.Choice(target, inputs, drop, categories, ordinal, missing, decimal, group, order, kind)
    return table_dataset.load(table, choice, in_memory, cache_dir, split, generator)


@harness.data(reads=("path",), describe=_DESCRIBED)
def parquet(
    split: Split,
    cache_dir: Path,
    generator: Generator,
    *,
    path: Annotated[str, "path of the file"],
    target: Target,
    kind: Kind = "auto",
    inputs: Inputs = (),
    drop: Drop = (),
    categories: Categories = (),
    ordinal: Ordinal = (),
    missing: Annotated[Names, "texts that stand for a missing value, beside the file's own nulls"] = (),
    group: Group = None,
    order: Order = None,
    in_memory: Held = "auto",
) -> Dataset:
    """A table in a Parquet file: one column is the target, the others are inputs, encoded as in `csv`.

    A named index that pandas stored is a column too. A file of more than a gigabyte is read some rows at a time, and
    its samples are kept under `cache_dir`.
    """
    from harness_components.data.tables import plan, reader, table_dataset

    table = reader.ParquetTable(readable(path))
    choice = plan.Choice(target, inputs, drop, categories, ordinal, missing, "auto", group, order, kind)
    return table_dataset.load(table, choice, in_memory, cache_dir, split, generator)
