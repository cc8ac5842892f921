"""What a person sees while a run or a sweep lasts: a bar on a terminal, plain lines elsewhere; on standard error."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.record import Record
from harness.watching import watching

EVERY_S = 5.0  # between two plain lines


def _brief(metrics: dict[str, float]) -> str:
    shown = [n for n in metrics if n != "train/lr"]
    return "  ".join(f"{name} {metrics[name]:.4g}" for name in shown)


class _Bar:
    """A rich bar where standard error is a terminal, else nothing: subclasses then print lines."""

    def __init__(self, what: str, total: int | None) -> None:
        self.console = Console(stderr=True)
        self.what, self.total = what, total
        self.bar: Progress | None = None

    def __enter__(self):  # type: ignore[no-untyped-def]  # each subclass returns itself
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
                transient=True,
            )
            self.bar.start()
            self.row = self.bar.add_task(self.what, total=self.total, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()


class RunProgress(_Bar):
    """The epochs of one run."""

    def __init__(self, epochs: int) -> None:
        super().__init__("epoch", epochs)
        self.said = time.monotonic()

    def epoch(self, metrics: dict[str, float], step: int, epoch: int) -> None:
        """After an epoch."""
        if self.bar is not None:
            self.bar.update(self.row, completed=epoch + 1, note=escape(_brief(metrics)))
        elif epoch == 0 or epoch + 1 == self.total or time.monotonic() - self.said > EVERY_S:
            self.said = time.monotonic()
            self.console.print(f"epoch {epoch + 1}/{self.total}  {_brief(metrics)}", markup=False, soft_wrap=True)


class SweepProgress(_Bar):
    """The runs of one sweep; keeps their records."""

    def __init__(self) -> None:
        super().__init__("run", None)
        self.records: list[Record] = []

    def __enter__(self) -> SweepProgress:
        super().__enter__()
        self.watching = watching(self.run)
        self.watching.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.watching.__exit__(kind, error, trace)
        super().__exit__(kind, error, trace)

    def run(self, place: int, jobs: int | None, record: Record) -> None:
        """After a run."""
        self.records.append(record)
        how = "already complete" if record.cached else record.status
        line = f"{place + 1}{f'/{jobs}' if jobs else ''}  {record.name}  {how}  {_brief(record.metrics)}"
        if self.bar is not None:
            self.bar.update(self.row, total=jobs, completed=place + 1, note=escape(record.name))
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)
