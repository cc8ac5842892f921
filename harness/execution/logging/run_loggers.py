"""What a run tells its loggers beside its curves. A logger may have any of these methods, and is called where it has:

log_hyperparams(params)                         log_histogram(key, counts, edges, step)
log_text(key, text_markdown, step)              log_pr_curve(key, scores, truths, step)
log_graph(model, input_array)                   log_embedding(key, vectors, labels, images, step)
log_image(key, images, step)
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.config.settings import NOT_IDENTITY
from harness.datasets.dataset import first_inputs
from harness.execution.logging.model_visuals import ModelVisuals, inside, weights
from harness.execution.logging.sample_visuals import pictures
from harness.modeling.estimator import EstimatorModule
from harness.registry import catalogue
from harness.registry.kinds import KINDS
from harness.results.record import Record, flat
from harness.results.run_id import PLACES, WATCHERS
from harness.system.errors import one_line
from harness.system.escape import markdown, printable
from harness.training.diagnostics.logging import to_logger
from harness.training.fit import Run

LARGE = ("log_image", "log_pr_curve", "log_embedding")
WARNS = "split.on_overlap"  # changes no result
log = logging.getLogger("harness")


class RunLoggers:
    """The loggers of one run."""

    def __init__(self, loggers: Sequence[Any], record: Record) -> None:
        self.loggers, self.record = loggers, record

    def begin(self, run: Run, overrides: Sequence[str]) -> None:
        """At the start: what is trained."""
        settings = hyperparameters(self.record)
        self._tell("log_hyperparams", settings)
        self._tell("log_text", "config", config_text(settings, overrides), 0)
        takers = self._taking("log_graph")
        if takers and not isinstance(
            run.parts.model, EstimatorModule
        ):  # an estimator has no operations before it is fitted
            x = first_inputs(run.dataset, 1)
            for logger in takers:
                self._unless_raised("the graph of the model", functools.partial(logger.log_graph, run.parts.model, x))
        self._weights(dict(run.parts.model.named_parameters()), 0)

    def metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Numbers."""
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)

    def look(self, found: Mapping[str, Any], step: int) -> None:
        """What diagnostics found."""
        for logger in self.loggers:
            to_logger(logger, found, step)

    def trained(self, run: Run) -> None:
        """At the end of a run that has completed: what its model has become."""
        step = run.state.steps
        if takers := self._taking("log_image"):
            for tag, image in pictures(run).items():
                for logger in takers:
                    logger.log_image(f"pictures/{tag}", [image], step)
        names = {name for name, _ in run.parts.model.named_parameters()}
        self._weights({name: value for name, value in (run.state.weights or {}).items() if name in names}, step)
        if any(self._taking(method) for method in LARGE):
            shown = self._unless_raised("the view inside of the model", lambda: inside(run))
            self._show(shown or ModelVisuals(), step)

    def end(self) -> None:
        """At the very end, whatever that is: how it ended."""
        self._tell("log_text", "summary", summary_text(self.record), int(self.record.time.get("steps", 0)))
        for logger in self.loggers:
            logger.finalize("success" if self.record.status == "completed" else "failed")

    def _taking(self, method: str) -> list[Any]:
        return [logger for logger in self.loggers if hasattr(logger, method)]

    def _tell(self, method: str, *given: Any) -> None:
        for logger in self._taking(method):
            getattr(logger, method)(*given)

    def _weights(self, named: Mapping[str, Any], step: int) -> None:
        if self._taking("log_histogram"):
            for name, (counts, edges) in weights(dict(named)).items():
                self._tell("log_histogram", f"weights/{name}", counts, edges, step)

    def _show(self, shown: ModelVisuals, step: int) -> None:
        for tag, image in shown.images.items():
            self._tell("log_image", f"pictures/{tag}", [image], step)
        for tag, (scores, truths) in shown.pr_curves.items():
            self._tell("log_pr_curve", f"pr_curves/{tag}", scores, truths, step)
        for tag, (vectors, labels, images) in shown.embeddings.items():
            self._tell("log_embedding", tag, vectors, labels, images, step)
        for tag, text in shown.texts.items():
            self._tell("log_text", tag, text, step)

    def _unless_raised(self, what: str, make: Callable[[], Any]) -> Any:
        """A model is anyone's: that it cannot be shown is no failure of its run. A disk that is full is one."""
        try:
            return make()
        except OSError:
            raise
        except Exception as error:
            extra = {"run_folder": self.record.folder}
            log.info("%s is left out: %s", what, one_line(error), extra=extra)
            return None


def hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """The settings that a result depends on, flat and plain: {"optimizer": "adam", "optimizer.lr": 0.001,
    "regularizer": "[l2,dropout]", "regularizer.l2.strength": 0.1, ...}.
    """
    kept = {key: value for key, value in record.config.items() if key not in (*NOT_IDENTITY, *WATCHERS)}
    usual = catalogue.current().trainer
    kept["trainer"] = {k: v for k, v in kept["trainer"].items() if k not in PLACES and v != usual.get(k)}
    lists = {kind: record.choices[kind] for kind in kept if kind in KINDS and KINDS[kind].many}
    named = {f"{kind}.{name}" for kind, names in lists.items() for name in names}
    chosen = {kind: _plain(names) for kind, names in lists.items()}
    single = {k: _plain(v) for k, v in flat(kept).items() if v is not None and k not in named and k != WARNS}
    return chosen | single


def _plain(value: Any) -> bool | int | float | str:
    """As it is typed."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return f"[{','.join(str(_plain(v)) for v in value)}]" if isinstance(value, (list, tuple)) else str(value)


def config_text(settings: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """What was typed, and a table of what was chosen, in Markdown."""
    rows: dict[str, list[str]] = {}
    for key, value in settings.items():
        kind, _, setting = key.partition(".")
        if not setting:
            rows.setdefault(kind, []).insert(0, f"**{markdown(value)}**" if kind in KINDS else markdown(value))
        else:
            rows.setdefault(kind, []).append(markdown(f"{setting}={value}"))
    table = [
        f"| {markdown(kind)} | {' '.join(words)} |"
        for kind, words in rows.items()
        if words != [f"**{markdown('[]')}**"]
    ]
    return "\n".join([f"    harness {printable(' '.join(overrides))}", "", "| | |", "|---|---|", *table])


def summary_text(record: Record) -> str:
    """How a run ended, in Markdown: its status, its metrics, what it was, and why it failed where it did."""
    time, error = record.time, record.error
    lines = [f"**{record.status}**"]
    if "epochs" in time:
        lines[0] += f" after {time['epochs']} epochs, {time['steps']} steps, {time['fit_s']:.2f} s"
    if error:
        lines += ["", markdown(f"{error['type']}: {' '.join(str(error['message']).split())}")]
    rows: dict[str, dict[str, float]] = {}
    for name, value in record.metrics.items():
        split, slash, own = name.rpartition("/")
        rows.setdefault(own, {})[split if slash else "at end"] = value
    splits = list(dict.fromkeys(split for row in rows.values() for split in row))
    if rows:
        lines += ["", f"| | {' | '.join(map(markdown, splits))} |", "|---" * (len(splits) + 1) + "|"]
        for own, row in rows.items():
            cells = [f"{row[split]:.4f}" if split in row else "" for split in splits]
            lines.append(f"| {markdown(own)} | {' | '.join(cells)} |")
    c, d = record.choices, record.data
    if "parameters" in record.model:
        sizes = f"{d.get('train')}/{d.get('val')}/{d.get('test')}"
        lines += [
            "",
            f"{c['model']} with {record.model['parameters']:,} parameters on {markdown(d.get('name'))} ({sizes})",
        ]
    return "\n".join(lines)
