"""Trials that were made before, also by another process: a sweep of the same computation need not try it again.

`<cache folder>/trials/<key>.json` holds what was measured. The key is of all that the seconds of an epoch depend on:
the shape of the computation, the code of its components, how many members and workers there are, and the machine.
What did not come out well is not kept: the next sweep tries it anew.
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

KEPT_S = 7 * 86_400.0  # a machine changes
_TYPES = get_type_hints(TimingTrial)
_check = checker(Annotated[dict[str, Any], Keys(_TYPES)])


class TrialKeys(dict[tuple[str, str], str]):
    """Keys of trials by the identity of a group's first run, which holds its code: reading that takes a while."""


def key(members: Sequence[RunSpec], workers: int) -> str:
    """Of a group of one shape; stacks are tried in few sizes, so that a seed more or less asks for no new trial."""
    first = members[0]
    way = json.dumps([min(len(members), TRIED).bit_length(), len(members) < workers, workers, first.asked["executor"]])
    known_keys = session.state(TrialKeys)
    if known := known_keys.get((first.record.id, way)):
        return known
    machine = [environment.describe(first.device)[k] for k in ("harness", "torch", "device", "cpu")]
    code = sources(tuple(components(first.values)))
    text = json.dumps([computation(first), way, machine, os.cpu_count(), torch.get_num_threads(), code], default=str)
    return known_keys.setdefault((first.record.id, way), hashlib.sha256(text.encode()).hexdigest()[:16])


def recall(key: str) -> TimingTrial | None:
    """What was measured, if that is not long ago; of a stack too, or what there was too little to do for."""
    try:
        path = _path(key)
        if time.time() - path.stat().st_mtime > KEPT_S:
            return None
        found = json.loads(safe_files.read(path, safe_files.MB))
        return TimingTrial(**found) if _check(found) is None and found.keys() == _TYPES.keys() else None
    except (OSError, ValueError, RecursionError):
        return None


def keep(key: str, trial: TimingTrial) -> None:
    """Keeps what was measured, where it can be written."""
    if trial.deadly or (trial.fused is None and trial.why != TOO_LITTLE):
        return
    with contextlib.suppress(OSError):
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, json.dumps(asdict(trial)).encode(), durable=False)


def _path(key: str) -> Path:
    return cache_folder() / "trials" / f"{key}.json"
