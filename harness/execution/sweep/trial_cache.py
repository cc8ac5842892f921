"""Cache of timing trials, so that a sweep of the same computation need not measure it again.

`<cache folder>/trials/<key>.json` holds a trial. The key depends on all that the seconds of an epoch depend on: the
shape of the computation, the code of its components, the numbers of runs and workers, and the machine. Trials that
failed are not cached: the next sweep measures again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import torch

from harness.execution.preparation import RunSpec
from harness.execution.sweep.grouping import computation
from harness.execution.sweep.timing_trial import TOO_LITTLE, TRIED, TimingTrial
from harness.registry.scanning.scan_cache import cache_folder
from harness.results import environment
from harness.results.run_id import components, sources
from harness.system import safe_files, session
from harness.system.safe_files import write_file
from harness.system.typed_json import Keys, checker

KEPT_S = 7 * 86_400.0  # the machine may change
_TYPES = get_type_hints(TimingTrial)
_check = checker(Annotated[dict[str, Any], Keys(_TYPES)])


class TrialKeys(dict[tuple[str, str], str]):
    """Keys of trials by a group's first run and the launch: reading the code of its components takes a while."""


def key(specs: Sequence[RunSpec], workers: int) -> str:
    """Return the cache key of the trial of a group of one shape.

    The size of the group enters by its power of two, so that a seed more or less needs no new trial.
    """
    first, count = specs[0], len(specs)
    launch = json.dumps([min(count, TRIED).bit_length(), count < workers, workers, first.asked["executor"]])
    known_keys = session.state(TrialKeys)
    if known := known_keys.get((first.record.id, launch)):
        return known
    machine = [environment.describe(first.device)[k] for k in ("harness", "torch", "device", "cpu")]
    code = sources(tuple(components(first.values)))
    text = json.dumps([computation(first), launch, machine, os.cpu_count(), torch.get_num_threads(), code], default=str)
    return known_keys.setdefault((first.record.id, launch), hashlib.sha256(text.encode()).hexdigest()[:16])


def recall(key: str) -> TimingTrial | None:
    """Return a cached trial; None if there is none, or if it is too old."""
    try:
        path = _path(key)
        if time.time() - path.stat().st_mtime > KEPT_S:
            return None
        fields = json.loads(safe_files.read(path, safe_files.MB))
        return TimingTrial(**fields) if _check(fields) is None and fields.keys() == _TYPES.keys() else None
    except (OSError, ValueError, RecursionError):
        return None


def keep(key: str, trial: TimingTrial) -> None:
    """Cache a trial, unless it failed or the cache cannot be written."""
    if trial.deadly or (trial.fused is None and trial.why != TOO_LITTLE):
        return
    with contextlib.suppress(OSError):
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(asdict(trial)).encode(), durable=False)


def _path(key: str) -> Path:
    return cache_folder() / "trials" / f"{key}.json"
