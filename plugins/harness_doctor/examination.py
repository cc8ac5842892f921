"""Collect all evidence on a run: from its files, its data and its network."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from threadpoolctl import threadpool_limits
from torch import Tensor

from harness import HarnessError, Record
from harness_doctor import evidence_data, evidence_files, evidence_model
from harness_doctor.diagnose import diagnose
from harness_doctor.engine import KEY, one_line, typed_settings
from harness_doctor.engine_training import WEIGHTS, Loaded, Loader, load_model, make_plan, usable, use_threads
from harness_doctor.evidence import DataEvidence, NetworkEvidence, RunEvidence, Series
from harness_doctor.evidence_predictions import scores
from harness_doctor.finding import Finding
from harness_doctor.trying import tried

CLOSE = 0.08  # share of the attainable score above a constant that a run that learns well may lack


class Examination:
    """Examination of runs; evidence on data that several runs share is collected once."""

    def __init__(self, loader: Loader | None = None) -> None:
        self.loader = loader or Loader()
        self._seen: dict[str, DataEvidence] = {}

    def examine(self, record: Record) -> RunEvidence:
        """Return the evidence on a run. Parts that cannot be examined are left out, and named in `missing`."""
        told = evidence_files.seen(record)
        with warnings.catch_warnings(), threadpool_limits(1), use_threads(1):  # more threads would be slower
            warnings.simplefilter("ignore")  # broken runs may warn
            try:
                record = replace(record, config=usable(record.config))
                loaded = self.loader.load(record.config)
                told = replace(told, data=self._data(loaded, record))
            except HarnessError as error:
                return replace(told, missing=(f"its data: {error}",))
            if loaded.dataset.target == "surface":
                return replace(told, data=None, missing=("a surface has no data",))
            try:
                return self._with_net(told, record, loaded)
            except Exception as error:  # a broken model may raise anything
                return replace(told, missing=(f"its network: {one_line(error)}",))

    def findings(self, record: Record, seen: RunEvidence) -> list[Finding]:
        """Return the findings on a run, with the advice of the first one tried out."""
        with threadpool_limits(1), use_threads(1):
            return tried(record, seen, diagnose(seen), self.loader)

    def _data(self, loaded: Loaded, record: Record) -> DataEvidence:
        batch = int(record.config["batch_size"])
        key = f"{loaded.digest}/{batch}/{record.config['transform']}"
        if key not in self._seen:
            self._seen[key] = evidence_data.look(loaded.dataset, loaded.overlap, batch)
        return self._seen[key]

    def _with_net(self, told: RunEvidence, record: Record, loaded: Loaded) -> RunEvidence:
        values, dataset = dict(record.config), loaded.dataset
        plan = make_plan(typed_settings(values), dataset, values)
        if path := evidence_model.fitted(values, dataset, plan):
            unseen = f"steps, gradients and units: model {values['model'][KEY]} is fitted at once and has none"
            return replace(told, net=NetworkEvidence(scores=scores(path, dataset)), missing=(unseen,))
        weights: dict[str, Tensor] | None = None
        if (record.folder / WEIGHTS).exists():
            weights = load_model(record).state_dict()
        data = told.data
        enough = math.inf if data is None else data.attained - CLOSE * (data.attained - data.floor_train)
        looked = evidence_model.look(values, dataset, plan, weights, told.steps, enough)
        return replace(told, net=looked.net, measured=joined(told.measured, looked.measured))


def joined(
    one: Mapping[str, Mapping[str, Series]], other: Mapping[str, Mapping[str, Series]]
) -> dict[str, dict[str, Series]]:
    """Merge two sets of measurements in the order of steps; at a common step the second one wins."""
    found: dict[str, dict[str, Any]] = {}
    for measured in (one, other):
        for quantity, layers in measured.items():
            for layer, series in layers.items():
                found.setdefault(quantity, {}).setdefault(layer, {}).update(dict(series))
    return {q: {layer: sorted(s.items()) for layer, s in layers.items()} for q, layers in found.items()}
