"""The live table of a sweep on a terminal, as wide as there is room."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.analysis.report.failures import shorter, told
from harness.analysis.report.tally import CACHED, Trained
from harness.cli.live.standing import SweepState, clock
from harness.execution.sweep.callbacks import PlannedRuns, over
from harness.execution.sweep.progress import LiveCohort
from harness.results.record import Record
from harness.system.escape import printable

COHORTS = 4  # shown, of those that are trained now
WAYS = 3
LABEL = 10  # columns of a label and the space behind it
NARROW = 60  # columns; below, the bar has a line of its own
STYLES = {"completed": "green", CACHED: "cyan", "failed": "red", "diverged": "yellow", "interrupted": "yellow"}


class SweepTable:
    """Draws how a sweep stands. It costs the same whatever the number of its runs."""

    def __init__(self, standing: SweepState) -> None:
        self.standing = standing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self.standing.lock:  # runs end in another thread than the one that draws
            drawn: list[RenderableType] = [*self._counts(options.max_width), *self._bar(options.max_width)]
            drawn.append(self._rows(options.max_width))
        yield from drawn

    def _counts(self, width: int) -> Iterator[Text]:
        """What ended how, folded between two counts and not inside of one."""
        standing = self.standing
        of = "" if standing.jobs is None else f" of {standing.jobs:,}"
        line = Text(f"{standing.tally.ended:,}{of} runs", "bold", no_wrap=True, overflow="ellipsis")
        for word, n in standing.counts():
            count = Text(f"  {n:,} {word}", STYLES.get(word, ""), no_wrap=True, overflow="ellipsis")
            if line.cell_len + count.cell_len > width:
                yield line
                line = Text(no_wrap=True, overflow="ellipsis")
            line = Text.assemble(line, count, no_wrap=True, overflow="ellipsis")
        yield line

    def _bar(self, width: int) -> Iterator[Table]:
        standing = self.standing
        times = Text(f"{clock(standing.gone_s)} gone, {clock(standing.left_s)} left", no_wrap=True, overflow="ellipsis")
        lines: list[list[ProgressBar | Text]] = [[times]]
        if standing.jobs is not None:
            bar = ProgressBar(total=1.0, completed=standing.share)
            percent = Text(f"{100 * standing.share:.0f}%", "bold")
            lines = [[bar, percent], [times]] if width < NARROW else [[bar, percent, times]]
        for line in lines:
            row = Table.grid(padding=(0, 1), expand=True)
            row.add_column(ratio=1)
            row.add_row(*line)
            yield row

    def _rows(self, width: int) -> Table:
        rows = Table.grid(expand=True)
        rows.add_column(width=LABEL, no_wrap=True)
        rows.add_column(ratio=1)
        for label, text, style in self._labelled(width - LABEL):
            rows.add_row(Text(label, style or "dim"), Text(printable(text), no_wrap=True, overflow="ellipsis"))
        return rows

    def _labelled(self, room: int) -> Iterator[tuple[str, str, str]]:
        """(label, text, style of the label)"""
        standing = self.standing
        for best in standing.tally.best.values():
            value = f"{best.metric} {best.value:.4g}  "
            yield "best", value + shorter(standing.name(best.name), room - len(value)), "green"
        for index, way in enumerate(self._ways()):
            yield "" if index else "path", way, ""
        if standing.jobs is not None and standing.plan is None:
            yield "now", "checks the jobs: their configs, their data, a short trial", ""
        for cohort in standing.cohorts[:COHORTS]:
            yield "training", self._cohort(cohort, room), ""
        if len(standing.cohorts) > COHORTS:
            yield "", f"and {len(standing.cohorts) - COHORTS} more cohorts", ""
        for record in standing.last:
            yield record.status[: LABEL - 1], self._ended(record, room), STYLES.get(record.status, "")

    def _ways(self) -> list[str]:
        plan = self.standing.plan
        planned = {(way.path, way.executor): way for way in (plan.groups if plan is not None else ())}
        trained = self.standing.tally.ways
        return [_way(key, planned.get(key), trained.get(key)) for key in list(planned | trained)[:WAYS]]

    def _cohort(self, cohort: LiveCohort, room: int) -> str:
        far = f"epoch {cohort.epoch} of {cohort.epochs}" if cohort.epochs else "begins"
        name = f"{cohort.size} runs" if cohort.size > 1 else self.standing.only(cohort)
        return f"{shorter(name, room - len(far) - 2)}  {far}"

    def _ended(self, record: Record, room: int) -> str:
        why = told(record)
        return f"{shorter(self.standing.name(record.name), max(room // 2, room - len(why) - 2))}  {why}"


def _way(key: tuple[str, str], planned: PlannedRuns | None, trained: Trained | None) -> str:
    path, executor = key
    done = 0 if trained is None else trained.runs
    runs = f"{path} {done:,} {over(executor)}" if planned is None else f"{path} {done:,} of {planned.counts}"
    why = trained.why if trained is not None else planned.why if planned is not None else ""
    return f"{runs} ({why})" if why else runs
