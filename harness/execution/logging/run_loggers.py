"""Pass the results of a run to its loggers.

Besides the methods of a Lightning logger, a logger may have any of these methods, which are called if it has them:

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

from pytorch_lightning.loggers import Logger

from harness.config.settings import NOT_IDENTITY
from harness.datasets.sampling import sampled_inputs
from harness.execution.logging.model_visuals import ModelVisuals, visualize, weight_histograms
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

VISUAL = ("log_image", "log_pr_curve", "log_embedding")  # methods that take the visualisations of a model
WARNS = "split.on_overlap"  # changes no result
log = logging.getLogger("harness")


class RunLoggers:
    """The loggers of one run.

    Args:
        loggers: The loggers.
        record: The record of the run.
    """

    def __init__(self, loggers: Sequence[Any], record: Record) -> None:
        self.loggers, self.record = loggers, record

    def begin(self, run: Run, overrides: Sequence[str]) -> None:
        """Log the settings and the model, before training."""
        settings = hyperparameters(self.record)
        self._call("log_hyperparams", settings)
        self._call("log_text", "config", config_text(settings, overrides), 0)
        loggers = self._with("log_graph")
        # an estimator has no graph before it is fitted
        if loggers and not isinstance(run.parts.model, EstimatorModule):
            x = sampled_inputs(run.dataset, 1)
            for logger in loggers:
                self._unless_raised("the graph of the model", functools.partial(logger.log_graph, run.parts.model, x))
        if self._with("log_histogram"):
            self._weights(dict(run.parts.model.named_parameters()), 0)

    def metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Log the metrics of an epoch."""
        for logger in self.loggers:
            logger.log_metrics(metrics, step=step)

    def diagnostics(self, values: Mapping[str, Any], step: int) -> None:
        """Log the values of diagnostics."""
        for logger in self.loggers:
            to_logger(logger, values, step)

    def trained(self, run: Run) -> None:
        """Log the trained model of a run that has completed."""
        step = run.state.steps
        if loggers := self._with("log_image"):
            for tag, image in pictures(run).items():
                for logger in loggers:
                    logger.log_image(f"pictures/{tag}", [image], step)
        if self._with("log_histogram"):
            names = {name for name, _ in run.parts.model.named_parameters()}
            self._weights({name: value for name, value in (run.state.weights or {}).items() if name in names}, step)
        if any(self._with(method) for method in VISUAL):
            visuals = self._unless_raised("the visualisation of the model", lambda: visualize(run))
            self._log_visuals(visuals or ModelVisuals(), step)

    def end(self) -> None:
        """Log the summary of a run that has ended, in whatever way, and finalize the loggers."""
        self._call("log_text", "summary", summary_text(self.record), int(self.record.time.get("steps", 0)))
        for logger in self.loggers:
            logger.finalize("success" if self.record.status == "completed" else "failed")

    def _with(self, method: str) -> list[Any]:
        """Return the loggers that have a method. Lightning's base class has some that do nothing."""
        nothing = getattr(Logger, method, None)
        return [
            logger
            for logger in self.loggers
            if hasattr(logger, method) and getattr(type(logger), method, logger) is not nothing
        ]

    def _call(self, method: str, *args: Any) -> None:
        for logger in self._with(method):
            getattr(logger, method)(*args)

    def _weights(self, parameters: Mapping[str, Any], step: int) -> None:
        for name, (counts, edges) in weight_histograms(parameters).items():
            self._call("log_histogram", f"weights/{name}", counts, edges, step)

    def _log_visuals(self, visuals: ModelVisuals, step: int) -> None:
        for tag, image in visuals.images.items():
            self._call("log_image", f"pictures/{tag}", [image], step)
        for tag, (scores, truths) in visuals.pr_curves.items():
            self._call("log_pr_curve", f"pr_curves/{tag}", scores, truths, step)
        for tag, (vectors, labels, images) in visuals.embeddings.items():
            self._call("log_embedding", tag, vectors, labels, images, step)
        for tag, text in visuals.texts.items():
            self._call("log_text", tag, text, step)

    def _unless_raised(self, what: str, make: Callable[[], Any]) -> Any:
        """Call `make`; log what is left out if it raises.

        A model that cannot be shown is no failure of its run. A full disk is one, so an OSError is raised.
        """
        try:
            return make()
        except OSError:
            raise
        except Exception as error:
            extra = {"run_folder": self.record.folder}
            log.info("%s is left out: %s", what, one_line(error), extra=extra)
            return None


def hyperparameters(record: Record) -> dict[str, bool | int | float | str]:
    """Return the settings that a result depends on, flat.

    For example: `{"optimizer": "adam", "optimizer.lr": 0.001, "regularizer": "[l2,dropout]",
    "regularizer.l2.strength": 0.1}`.
    """
    kept = {key: value for key, value in record.config.items() if key not in (*NOT_IDENTITY, *WATCHERS)}
    if kept.get("tune", {}).get("budget") is None:  # a record of an older version has no such key
        kept.pop("tune", None)
    defaults = catalogue.current().trainer
    kept["trainer"] = {k: v for k, v in kept["trainer"].items() if k not in PLACES and v != defaults.get(k)}
    names_by_kind = {kind: record.choices[kind] for kind in kept if kind in KINDS and KINDS[kind].many}
    nodes = {f"{kind}.{name}" for kind, names in names_by_kind.items() for name in names}
    lists = {kind: _plain(names) for kind, names in names_by_kind.items()}
    single = {k: _plain(v) for k, v in flat(kept).items() if v is not None and k not in nodes and k != WARNS}
    return lists | single


def _plain(value: Any) -> bool | int | float | str:
    """Return a value as a number, or as the text that a user would type."""
    if isinstance(value, (bool, int, float, str)):
        return value
    return f"[{','.join(str(_plain(v)) for v in value)}]" if isinstance(value, (list, tuple)) else str(value)


def config_text(settings: Mapping[str, Any], overrides: Sequence[str]) -> str:
    """Return the command line and a table of the settings, in Markdown."""
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
    """Return a summary of a run in Markdown: status, error, metrics, model and data."""
    time, error = record.time, record.error
    lines = [f"**{record.status}**"]
    if "epochs" in time:
        lines[0] += f" after {time['epochs']} epochs, {time['steps']} steps, {time['fit_s']:.2f} s"
    if error:
        lines += ["", markdown(f"{error['type']}: {' '.join(str(error['message']).split())}")]
    rows: dict[str, dict[str, float]] = {}
    for name, value in record.metrics.items():
        split, slash, metric = name.rpartition("/")
        rows.setdefault(metric, {})[split if slash else "at end"] = value
    splits = list(dict.fromkeys(split for row in rows.values() for split in row))
    if rows:
        lines += ["", f"| | {' | '.join(map(markdown, splits))} |", "|---" * (len(splits) + 1) + "|"]
        for metric, row in rows.items():
            cells = [f"{row[split]:.4f}" if split in row else "" for split in splits]
            lines.append(f"| {markdown(metric)} | {' | '.join(cells)} |")
    c, d = record.choices, record.data
    if "parameters" in record.model:
        sizes = f"{d.get('train')}/{d.get('val')}/{d.get('test')}"
        lines += [
            "",
            f"{c['model']} with {record.model['parameters']:,} parameters on {markdown(d.get('name'))} ({sizes})",
        ]
    return "\n".join(lines)
