"""Show progress on standard error: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.analysis.report.failures import reason_and_position
from harness.analysis.report.tally import CACHED
from harness.cli.live.standing import SweepState, format_seconds
from harness.cli.live.sweep_table import SweepTable
from harness.execution.sweep.callbacks import SweepCallback, SweepPlan, using
from harness.results.record import Record
from harness.system.escape import printable
from harness.system.spinner import in_cell
from harness.training.run_callback import RunCallback

EVERY_S = 5.0  # time between two plain lines about a run's epochs or a large sweep
QUIET_S = 30.0  # time without a plain line after which the state of a sweep is printed
LARGE = 300  # jobs; above, completed runs of a sweep get no line of their own
LOOK_S = 1.0  # time between two looks at the cohorts in training
LOOK_SHARE = 0.05  # largest share of a core that looking may take, if a file server is slow
PER_SECOND = 2  # refreshes of the table; each takes milliseconds from a run that is trained in this process


def can_redraw(console: Console) -> bool:
    """Return True if the console is a terminal on which lines can be drawn again."""
    return console.is_terminal and not console.is_dumb_terminal and not in_cell()


def _brief(metrics: Mapping[str, float]) -> str:
    shown = [n for n in metrics if n != "train/lr"]
    return printable("  ".join(f"{name} {metrics[name]:.4g}" for name in shown))


class RunProgress(RunCallback):
    """Shows the epochs of one run."""

    def __init__(self, epochs: int) -> None:
        self.console, self.epochs = Console(stderr=True), epochs
        self.bar: Progress | None = None
        self.printed = time.monotonic()

    def __enter__(self) -> RunProgress:
        if can_redraw(self.console):
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # output to a file or a pipe must not be redirected
            )
            self.bar.start()
            self.row = self.bar.add_task("epoch", total=self.epochs, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def on_epoch_end(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        if self.bar is not None:
            self.bar.update(self.row, completed=epoch + 1, note=escape(_brief(metrics)))
        elif epoch == 0 or epoch + 1 == self.epochs or time.monotonic() - self.printed > EVERY_S:
            self.printed = time.monotonic()
            self.console.print(f"epoch {epoch + 1}/{self.epochs}  {_brief(metrics)}", markup=False, soft_wrap=True)


class SweepProgress(SweepCallback):
    """Shows the progress of a sweep, and keeps the records of its runs."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.records: list[Record] = []
        self.standing = SweepState()
        self.live: Live | None = None
        self._trials = self._trials_ended = 0  # runs of trials of tuning
        self._printed = time.monotonic()
        self._ended = threading.Event()
        self._refresher = threading.Thread(
            target=contextvars.copy_context().run, args=(self._refresh,), name="progress", daemon=True
        )
        self._using = using([self])

    def __enter__(self) -> SweepProgress:
        self._using.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        try:
            if self.live is not None:
                self.live.stop()
        finally:
            self._using.__exit__(kind, error, trace)
            if self._refresher.is_alive():
                self._refresher.join(LOOK_S)  # do not wait for a file server that hangs

    def on_sweep_start(self, jobs: int) -> None:
        self.standing.on_sweep_start(jobs)
        self._start()

    def on_sweep_planned(self, plan: SweepPlan) -> None:
        self.standing.on_sweep_planned(plan)
        if self.live is None and len(plan.runs) > 1:
            counts = f"{self.standing.tally.counts[CACHED]} already complete, {len(plan.runs)} to train"
            plans = "; ".join(str(planned) for planned in plan.groups)
            self._print(f"{self.standing.jobs} runs: {counts}; {plans}")

    def on_tuning_start(self, contestants: int, runs: int) -> None:
        self._trials = runs
        self._print(f"tuning: {contestants} contestants, {runs:,} runs of trials")

    def on_trial_end(self, record: Record) -> None:
        self._trials_ended += 1
        if self._trials_ended == self._trials or time.monotonic() - self._printed > EVERY_S:
            self._print(f"tuning: {self._trials_ended:,}/{self._trials:,} runs of trials have ended")

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        self._start()
        self.records.append(replace(record, diagnostics={}))  # they take most of its memory
        self.standing.on_run_end(index, jobs, record)
        if self.live is None:
            self._print_run(record)

    def _start(self) -> None:
        """Start the display, once there is something to show."""
        if self._refresher.ident is not None:
            return
        if can_redraw(self.console):
            self.live = Live(
                SweepTable(self.standing),
                console=self.console,
                transient=True,
                refresh_per_second=PER_SECOND,
                redirect_stdout=sys.stdout.isatty(),
            )
            self.live.start()
        self._refresher.start()

    def _refresh(self) -> None:
        wait = LOOK_S if self.live is not None else QUIET_S
        while not self._ended.wait(wait):
            if self.live is None and time.monotonic() - self._printed < QUIET_S:
                continue
            began = time.monotonic()
            self.standing.refresh()
            if self.live is None:
                self._print(self._state_line())
            else:
                wait = max(LOOK_S, (time.monotonic() - began) / LOOK_SHARE)

    def _print_run(self, record: Record) -> None:
        tally, jobs = self.standing.tally, self.standing.jobs
        if (jobs or tally.ended) <= LARGE or record.status in ("failed", "diverged"):
            status = CACHED if record.cached else record.status
            details = _brief(record.metrics) if record.status == "completed" else reason_and_position(record)
            self._print(f"{tally.ended}{f'/{jobs}' if jobs else ''}  {record.name}  {status}  {details}".rstrip())
        elif time.monotonic() - self._printed > EVERY_S:
            self._print(self._state_line())

    def _state_line(self) -> str:
        standing = self.standing
        with standing.lock:
            counts = ", ".join(f"{n} {word}" for word, n in standing.counts())
            training = ", ".join(f"{c.size} at epoch {c.epoch}/{c.epochs}" for c in standing.cohorts if c.epochs)
            times = f"{format_seconds(standing.elapsed_s)} elapsed, {format_seconds(standing.left_s)} left"
        return f"{standing.tally.ended}/{standing.jobs or '?'}  {counts}; {times}" + (
            f"; {training}" if training else ""
        )

    def _print(self, line: str) -> None:
        self._printed = time.monotonic()
        self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
