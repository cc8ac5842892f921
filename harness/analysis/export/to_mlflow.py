"""Write runs to MLflow: an experiment for a study, in the store that MLflow is set to."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from harness.analysis.export.runs import Run, load_tool
from harness.system.errors import HarnessError, one_line

METRICS, PARAMS, MAX_VALUE = 900, 100, 500  # limits of MLflow for one request, and for the text of a parameter
PAGE = 1000  # runs of one answer
_KEY = "harness.key"
_STATUS = {"completed": "FINISHED", "interrupted": "KILLED"}  # of others FAILED; the tag harness.status has the word


class MLflow:
    """The experiment of a study.

    Args:
        study: Name of the study, and of the experiment.

    Raises:
        HarnessError: If MLflow is not installed, or its store cannot be opened.
    """

    def __init__(self, study: str) -> None:
        self._entities = load_tool("mlflow.entities", "mlflow", "mlflow")
        mlflow = load_tool("mlflow", "mlflow", "mlflow")
        for name in ("alembic", "mlflow"):  # a new store is told of in thirty lines
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self.where = str(mlflow.get_tracking_uri())
            self._client = mlflow.MlflowClient()
            experiment = self._client.get_experiment_by_name(study)
            self._experiment = self._client.create_experiment(study) if experiment is None else experiment.experiment_id
        except Exception as error:  # of its store, server or database
            raise HarnessError(f"MLflow: {one_line(error)[:500]}") from error

    def keys(self) -> set[str]:
        found, token = set(), None
        while True:
            page = self._client.search_runs([self._experiment], max_results=PAGE, page_token=token)
            for run in page:
                key = run.data.tags.get(_KEY)
                if key is not None and run.info.status == "RUNNING":
                    self._client.delete_run(run.info.run_id)  # left by a crash
                elif key is not None:
                    found.add(key)
            token = page.token
            if not token:
                return found

    def add(self, run: Run) -> None:
        record, start = run.record, int(1000 * run.started.timestamp())
        end = start + int(1000 * run.seconds)
        created = self._client.create_run(self._experiment, start, tags=_tags(run), run_name=record.name[:250])
        params = [self._entities.Param(_name(k), str(v)[:MAX_VALUE]) for k, v in run.settings.items()]
        curves = run.curves()
        last = max(record.steps.get("made", 0), curves[-1][0] if curves else 0)
        metrics = [
            self._entities.Metric(_name(name), value, start, step)
            for step, row in curves
            for name, value in row.items()
        ]
        # behind all values of the curves, so that MLflow shows these as the results
        metrics += [self._entities.Metric(_name(name), value, end, last) for name, value in record.metrics.items()]
        none: list[Any] = []
        for some, more in zip_longest(_batches(metrics, METRICS), _batches(params, PARAMS), fillvalue=none):
            self._client.log_batch(created.info.run_id, metrics=some, params=more)
        self._client.set_terminated(created.info.run_id, _STATUS.get(record.status, "FAILED"), end)


def _tags(run: Run) -> dict[str, str]:
    record = run.record
    environment = {
        f"harness.environment.{key}": str(value)
        for key, value in record.environment.items()
        if isinstance(value, str) and value
    }
    return {
        _KEY: run.key,
        "harness.id": record.id,
        "harness.study": record.study,
        "harness.status": record.status,
        "mlflow.source.name": record.command[:5000],
        "mlflow.source.git.commit": str(record.environment.get("git", "")),
        **environment,
    }


def _name(name: str) -> str:
    """Return a name with the characters that MLflow allows, which also takes it for a path.

    >>> _name("weights/layer[0]/norm"), _name("../x")
    ('weights/layer_0_/norm', '_/x')
    """
    parts = re.sub(r"[^\w\-. /]", "_", name).split("/")
    return "/".join("_" if part in ("", ".", "..") else part for part in parts)[:250]


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    yield from (items[start : start + size] for start in range(0, len(items), size))
