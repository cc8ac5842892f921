"""What a person sees while a run or a sweep lasts: drawn on a terminal, plain lines elsewhere; on standard error."""

from __future__ import annotations

import contextvars
import sys
import threading
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.analysis.report.failures import told
from harness.analysis.report.tally import CACHED
from harness.cli.live.standing import SweepState, clock
from harness.cli.live.sweep_table import SweepTable
from harness.execution.sweep.callbacks import SweepCallback, SweepPlan, using
from harness.results.record import Record
from harness.system.escape import printable
from harness.training.run_callback import RunCallback

EVERY_S = 5.0  # between two plain lines of a run's epochs, and of a large sweep
QUIET_S = 30.0  # without a plain line, after which one says how a sweep stands
LARGE = 300  # jobs of a sweep whose runs have no line each
LOOK_S = 1.0  # between two looks at what is trained now
LOOK_SHARE = 0.05  # of a core that looking may take, where a file server is slow
PER_SECOND = 2  # drawings of the table: each takes milliseconds from a run that is trained in this process


def drawn(console: Console) -> bool:
    """Whether this is a terminal whose lines can be drawn over."""
    return console.is_terminal and not console.is_dumb_terminal


def _brief(metrics: Mapping[str, float]) -> str:
    shown = [n for n in metrics if n != "train/lr"]
    return printable("  ".join(f"{name} {metrics[name]:.4g}" for name in shown))


class RunProgress(RunCallback):
    """The epochs of one run."""

    def __init__(self, epochs: int) -> None:
        self.console, self.epochs = Console(stderr=True), epochs
        self.bar: Progress | None = None
        self.said = time.monotonic()

    def __enter__(self) -> RunProgress:
        if drawn(self.console):
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # else what goes to a file or a pipe would be shown
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
        elif epoch == 0 or epoch + 1 == self.epochs or time.monotonic() - self.said > EVERY_S:
            self.said = time.monotonic()
            self.console.print(f"epoch {epoch + 1}/{self.epochs}  {_brief(metrics)}", markup=False, soft_wrap=True)


class SweepProgress(SweepCallback):
    """The runs of one sweep; keeps their records."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.records: list[Record] = []
        self.standing = SweepState()
        self.live: Live | None = None
        self._said = time.monotonic()
        self._over = threading.Event()
        self._looks = threading.Thread(
            target=contextvars.copy_context().run, args=(self._look,), name="progress", daemon=True
        )
        self._using = using([self])

    def __enter__(self) -> SweepProgress:
        self._using.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        try:
            if self.live is not None:
                self.live.stop()
        finally:
            self._using.__exit__(kind, error, trace)
            if self._looks.is_alive():
                self._looks.join(LOOK_S)  # a file server that hangs keeps nobody

    def on_sweep_start(self, jobs: int) -> None:
        self.standing.on_sweep_start(jobs)
        self._begin()

    def on_sweep_planned(self, plan: SweepPlan) -> None:
        self.standing.on_sweep_planned(plan)
        if self.live is None and len(plan.runs) > 1:
            counts = f"{self.standing.tally.counts[CACHED]} already complete, {len(plan.runs)} to train"
            ways = "; ".join(str(way) for way in plan.groups)
            self._say(f"{self.standing.jobs} runs: {counts}; {ways}")

    def on_run_end(self, index: int, jobs: int | None, record: Record) -> None:
        self._begin()
        self.records.append(record)
        self.standing.on_run_end(index, jobs, record)
        if self.live is None:
            self._line(record)

    def _begin(self) -> None:
        """Begins to draw and to look, when it is known that there is something to be seen."""
        if self._looks.ident is not None:
            return
        if drawn(self.console):
            self.live = Live(
                SweepTable(self.standing),
                console=self.console,
                transient=True,
                refresh_per_second=PER_SECOND,
                redirect_stdout=sys.stdout.isatty(),
            )
            self.live.start()
        self._looks.start()

    def _look(self) -> None:
        wait = LOOK_S if self.live is not None else QUIET_S
        while not self._over.wait(wait):
            if self.live is None and time.monotonic() - self._said < QUIET_S:
                continue
            began = time.monotonic()
            self.standing.look()
            if self.live is None:
                self._say(self._stands())
            else:
                wait = max(LOOK_S, (time.monotonic() - began) / LOOK_SHARE)

    def _line(self, record: Record) -> None:
        tally, jobs = self.standing.tally, self.standing.jobs
        if (jobs or tally.ended) <= LARGE or record.status in ("failed", "diverged"):
            how = CACHED if record.cached else record.status
            what = _brief(record.metrics) if record.status == "completed" else told(record)
            self._say(f"{tally.ended}{f'/{jobs}' if jobs else ''}  {record.name}  {how}  {what}".rstrip())
        elif time.monotonic() - self._said > EVERY_S:
            self._say(self._stands())

    def _stands(self) -> str:
        standing = self.standing
        with standing.lock:
            counts = ", ".join(f"{n} {word}" for word, n in standing.counts())
            training = ", ".join(f"{c.size} at epoch {c.epoch}/{c.epochs}" for c in standing.cohorts if c.epochs)
            times = f"{clock(standing.gone_s)} gone, {clock(standing.left_s)} left"
        return f"{standing.tally.ended}/{standing.jobs or '?'}  {counts}; {times}" + (
            f"; {training}" if training else ""
        )

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        self.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
