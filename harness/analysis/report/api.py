"""`harness.report`: the comparison of a study as text, data frames, figures and a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.system.errors import HarnessError

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from harness.analysis.comparison.model import Comparison
    from harness.analysis.report.rows import Row
    from harness.results.record import Record

Scope = Literal["default", "population"]
Format = Literal["pdf", "svg", "png"]


def report(
    study: str | Path | Sequence[Record],
    *,
    by: str | Sequence[str] | None = None,
    metric: str | None = None,
    baseline: str | None = None,
    where: str | Sequence[str] = (),
    margin: float | None = None,
    planned: int | None = None,
    scope: Scope = "default",
) -> Report:
    """Compare the arms of a study, as `harness report STUDY` does.

    Args:
        study: The name of a study under `outputs/`, its folder, a bundle (a zip file), or records.
        by: Keys of the config that tell the arms apart; None for those that the sweep varied, without seeds.
        metric: The metric to compare; None for the objective, on test if it was measured there.
        baseline: The arm that the others are compared with; None to compare all pairs.
        where: Filters KEY=VALUE of the runs to compare.
        margin: The largest difference that does not matter; without a margin no arms are called equal.
        planned: Number of seeds that the study will have; looks at fewer spend a part of the error rate.
        scope: "population" to conclude about new data of this kind, in place of this data set.

    Returns:
        The report.

    Raises:
        HarnessError: If there is no such study, metric, key, baseline or run.
    """
    records, folder = _records(study)
    from harness.analysis.comparison.compare import compare

    def compared(curves: bool) -> Comparison:
        return compare(
            records,
            study=folder,
            by=None if by is None else _words(by),
            metric=metric,
            baseline=baseline,
            where=_words(where),
            margin=margin,
            planned=planned,
            scope=scope,
            curves=curves,
        )

    return Report(compared)


def _records(study: str | Path | Sequence[Record]) -> tuple[Sequence[Record], Path | None]:
    """Return the records, and the folder of their study if they have one in common."""
    from harness.results.study import load, open_study

    if isinstance(study, Sequence) and not isinstance(study, str):
        if not len(study):
            raise HarnessError("no runs to compare: the sequence of records is empty")
        return study, common_study(study)
    folder = open_study(study).absolute()
    records = load(folder)
    if not len(records):
        raise HarnessError(f"no runs in {study}")
    return records, folder


def common_study(records: Sequence[Record]) -> Path | None:
    """Return the folder of the study that all records are in, or None."""
    folders = {record.folder.parent for record in records}
    folder = folders.pop()
    return folder if not folders and folder.is_dir() and records[0].folder != Path() else None


def _words(words: str | Sequence[str]) -> list[str]:
    return [words] if isinstance(words, str) else list(words)


class Report:
    """The comparison of the arms of a study, as `harness.report` returns it.

    Printed, it is the text of `harness report`; a notebook shows its tables.

    Args:
        compare: Returns the comparison, with learning curves if its argument is True.

    Attributes:
        comparison: The comparison as plain data.
    """

    def __init__(self, compare: Callable[[bool], Comparison]) -> None:
        self._compare = compare
        self.comparison = compare(False)

    def __str__(self) -> str:
        from harness.analysis.report.verdict import report_text

        return report_text(self.comparison)

    def __repr__(self) -> str:
        c = self.comparison
        arms = len(c.tables[0].arms) if c.tables else 0
        return f"Report({c.study!r}, {c.metric.name}, {arms} arms, {c.runs} runs)"

    def _repr_html_(self) -> str:
        from harness.analysis.report.markup import to_notebook

        return to_notebook(self.comparison)

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return "\n".join(self.comparison.verdict)

    @property
    def arms(self) -> pandas.DataFrame:
        """A row for each arm on each data set, with its difference to the reference; `data` is missing over all."""
        from harness.analysis.report.rows import arm_rows

        rows = arm_rows(self.comparison)
        return _frame(rows, list(rows[0]) if rows else [])

    @property
    def differences(self) -> pandas.DataFrame:
        """A row for each pair of arms that was decided, on each data set."""
        from harness.analysis.report.rows import DIFFERENCE, difference_rows

        return _frame(difference_rows(self.comparison), DIFFERENCE)

    @property
    def effects(self) -> pandas.DataFrame:
        """A row for each main effect and each interaction of the factors."""
        from harness.analysis.report.rows import EFFECT, effect_rows

        return _frame(effect_rows(self.comparison), EFFECT)

    @property
    def failures(self) -> pandas.DataFrame:
        """A row for each arm and reason for which runs did not complete."""
        from harness.analysis.report.rows import FAILURE, failure_rows

        return _frame(failure_rows(self.comparison), FAILURE)

    @property
    def tuning(self) -> pandas.DataFrame:
        """A row for each arm and data set with the settings that tuning found, and what the search spent."""
        from harness.analysis.report.rows import TUNED, tuned_rows

        return _frame(tuned_rows(self.comparison), TUNED)

    @property
    def tuning_curves(self) -> pandas.DataFrame:
        """A row for each arm, data set and number of trials: the best score on validation, with its band."""
        from harness.analysis.report.rows import BUDGET, budget_rows

        return _frame(budget_rows(self.comparison), BUDGET)

    @cached_property
    def _full(self) -> Comparison:
        """The comparison with learning curves and findings, which are read when they are first needed."""
        return replace(self._compare(True), look=self.comparison.look)

    @cached_property
    def figures(self) -> Mapping[str, Figure]:
        """The figures by name, drawn when they are first needed; without those that the comparison has no data for."""
        from harness.analysis.figures import FIGURES, draw

        drawn = {name: draw(name, self._full) for name in FIGURES}
        return {name: figure for name, figure in drawn.items() if figure is not None}

    def to_html(self, path: str | Path | None = None) -> str | None:
        """Return the report as one self-contained page, or write it.

        Args:
            path: The file to write; None to return the text.

        Raises:
            HarnessError: If the file cannot be written.
        """
        from harness.analysis.html import page

        text = page(self._full)
        if path is None:
            return text
        write_page(Path(path), text)
        return None

    def save_figures(self, folder: str | Path, format: Format = "pdf") -> list[Path]:
        """Write every figure to a file.

        Args:
            folder: The folder to write to; it is created.
            format: "pdf", "svg" or "png".

        Returns:
            The files.

        Raises:
            HarnessError: If the format is unknown, or the folder cannot be written to.
        """
        from harness.analysis.figures import save

        return save(self._full, folder, format)


def write_page(path: Path, text: str) -> None:
    """Write a file that the user named: beside it, then renamed. A link is followed; only a plain file is replaced.

    Raises:
        HarnessError: If the path is not a plain file, or if it cannot be written.
    """
    from harness.system.safe_files import write_file

    target = path.resolve()
    if target.is_dir():
        raise HarnessError(f"{path} is a folder: name a file, such as {path / 'report.html'}")
    if target.exists() and not target.is_file():
        raise HarnessError(f"{path} is not a plain file")
    try:
        write_file(target, text.encode(errors="backslashreplace"), durable=False)
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror or error}") from error


def _frame(rows: Sequence[Row], keys: Sequence[str]) -> pandas.DataFrame:
    """Return rows as a data frame; integers stay integers, and each missing value is pandas.NA."""
    import pandas

    from harness.results.frame import column

    return pandas.DataFrame({key: column([row[key] for row in rows]) for key in keys})
