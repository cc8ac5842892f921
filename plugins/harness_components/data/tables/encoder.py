"""Encode the columns of a table as numbers, by scikit-learn's ColumnTransformer fitted on the training rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness import HarnessError, suggest
from harness_components.data.files.readable import readable
from harness_components.data.tables.plan import Column, Plan
from harness_components.data.tables.reader import Table


class Encoder:
    """Encode rows of a table as inputs [N, D]: numbers and dates, one-hot categories, indicators of missing values.

    Args:
        plan: the columns of the table.
        table: the table, whose way of reading applies to other files too.
    """

    def __init__(self, plan: Plan, table: Table) -> None:
        self.plan, self.table = plan, table
        self._transformer: Any = None

    def columns(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the values of the input columns: float64, or texts for categories.

        Raises:
            HarnessError: If a column is missing.
        """
        absent = [c.name for c in self.plan.inputs if c.name not in table.columns]
        if absent:
            raise HarnessError(f"the table has no column {absent[0]!r}.{suggest(absent[0], table.columns)}")
        return pd.DataFrame({c.name: _series(c.read(table[c.name], self.plan.missing), c) for c in self.plan.inputs})

    def fit(self, columns: pd.DataFrame) -> Encoder:
        """Learn medians, most frequent categories and the categories themselves from training rows."""
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import MissingIndicator, SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

        inputs = self.plan.inputs
        ordinal = [c for c in inputs if c.scale]
        median = SimpleImputer(strategy="median", keep_empty_features=True)
        steps = make_pipeline(
            OrdinalEncoder(
                categories=[list(c.scale) for c in ordinal], handle_unknown="use_encoded_value", unknown_value=np.nan
            ),
            median,
        )
        hot = make_pipeline(
            SimpleImputer(strategy="most_frequent", keep_empty_features=True),
            OneHotEncoder(handle_unknown="ignore", sparse_output=False, feature_name_combiner=_input_name),
        )
        chosen = [
            ("numbers", median, [c.name for c in inputs if c.real]),
            ("steps", steps, [c.name for c in ordinal]),
            ("categories", hot, [c.name for c in inputs if not c.real and not c.scale]),
            ("missing", MissingIndicator(features="all"), [c.name for c in inputs if c.missing or c.signs]),
        ]
        self._transformer = ColumnTransformer([step for step in chosen if step[2]], verbose_feature_names_out=False)
        self._transformer.fit(columns)
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the inputs: a column, `column=category`, `column is missing`."""
        names = [str(name) for name in self._transformer.get_feature_names_out()]
        prefix = "missingindicator_"
        scales = {c.name: f"{c.name} ({' < '.join(c.scale)})" for c in self.plan.inputs if c.scale}
        return tuple(
            f"{n.removeprefix(prefix)} is missing" if n.startswith(prefix) else scales.get(n, n) for n in names
        )

    def transform(self, columns: pd.DataFrame) -> np.ndarray:
        """Return values of input columns as inputs, float64 [N, D]."""
        return np.ascontiguousarray(self._transformer.transform(columns), dtype=np.float64)

    def __call__(self, table: Any) -> np.ndarray:
        """Encode rows with the file's columns, given as a DataFrame or the path of a file, as inputs, float64 [N, D].

        Raises:
            HarnessError: If a column is missing, or a value does not have the type of its column.
        """
        if isinstance(table, str | Path):
            (table,) = self.table.like(readable(str(table))).frames()
        frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)
        index = [c.name for c in self.plan.inputs if c.name not in frame.columns and c.name in frame.index.names]
        frame = frame.reset_index(index).reset_index(drop=True) if index else frame.reset_index(drop=True)
        columns = self.columns(frame)
        for column in self.plan.inputs:
            for row, expected in column.bad(frame[column.name], self.plan.missing).items():
                value = frame[column.name].iloc[row]
                raise HarnessError(f"row {row + 1}, column {column.name!r}: expected {expected}, got {value!r}")
        return self.transform(columns)


def _input_name(column: str, value: Any) -> str:
    return f"{column}={value}"


def _series(values: np.ndarray, column: Column) -> pd.Series:
    return pd.Series(values, dtype=np.float64 if column.real else object)
