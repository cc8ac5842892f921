"""Find the records of cached runs by their jobs alone: without torch, the data and the components.

A launch that prepares its jobs keeps their run IDs in the user's cache folder, under a key of all that preparation
depends on: the config of the jobs, the installed packages, the code of plugins, the files that the data is read from,
and the processor and accelerators of the machine. A later launch of the same jobs finds the IDs there, and the
records in the study. If anything differs, it prepares its jobs as the first one did.
"""

from __future__ import annotations

import glob
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from harness.config.job import Job
from harness.registry import catalogue
from harness.registry.kinds import KEY
from harness.results import answer_cache
from harness.results.index import SETTLED_NS, by_id
from harness.results.record import Record, read
from harness.results.run_dir import WEIGHTS
from harness.results.run_id import sources, stamp
from harness.results.study import find_weights, output_root
from harness.system.blas import vendor
from harness.system.distribution import DISTRIBUTION
from harness.system.safe_files import refuse_links
from harness.system.typed_json import Keys

if TYPE_CHECKING:
    from harness.execution.preparation import RunSpec

Used = tuple[tuple[str, str], ...]  # (kind, name) of components
FOLDER = "runs"
_DEVICES = ("/dev/nvidia*", "/dev/kfd", "/dev/dri/render*", "/dev/accel*")
_VARIABLES = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GPU_", "PYTORCH_", "XPU_", "ONEAPI_", "ZE_")
# what `sufficient` reads of the resolved config
_WATCHED = ("metric", "diagnostic", "evaluate_train", "save", "objective")
_Watched = Annotated[
    dict[str, Any],
    Keys(
        {"metric": dict[str, Any], "diagnostic": dict[str, Any], "evaluate_train": bool, "save": str, "objective": str},
        needed=True,
    ),
]
_Answer = Annotated[
    dict[str, Any],
    Keys(
        {"ids": list[str], "watched": list[_Watched], "watches": list[int]}
        | {"components": list[list[str]], "sources": dict[str, str]},
        needed=True,
    ),
]


def question(jobs: Sequence[Job], in_sweep: bool) -> str | None:
    """Return the key of a launch, or None if its records cannot be found without preparing it.

    Args:
        jobs: The jobs of the launch.
        in_sweep: True if they are the jobs of a sweep.
    """
    if any(job.values["rerun"] for job in jobs):
        return None
    known, files = catalogue.current(), set()
    for data, corruptions in {str(job.values["data"]): _data(job) for job in jobs}.values():
        reads = known.get("data", data[KEY])["traits"].get("reads")
        if reads is None or any(known.get("corruption", name)["origin"] != DISTRIBUTION for name in corruptions):
            return None
        files |= {os.path.abspath(os.path.expanduser(str(data[setting]))) for setting in reads}
    sources_of_weights = {job.values["init_from"] for job in jobs} - {None}
    files |= {os.path.abspath(find_weights(source)) for source in sources_of_weights}
    stamps = stamp(sorted(files))
    if any(max(times) > time.time_ns() - SETTLED_NS for _, _, *times, _ in stamps):
        return None  # a file that changes again within a tick may keep its times
    asked = json.dumps([[job.values, job.overrides] for job in jobs], default=str)
    return answer_cache.key_of((known.key, asked, in_sweep, stamps, _machine()))


def _data(job: Job) -> tuple[dict[str, Any], list[str]]:
    return job.values["data"], list(job.values["corruption"])


def _machine() -> list[Any]:
    """Return what decides which accelerators torch sees and which library computes products, in this environment."""
    devices = sorted(path for pattern in _DEVICES for path in glob.glob(pattern))
    return [vendor(), devices, sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES))]


def recall(key: str | None, jobs: Sequence[Job]) -> list[Record] | None:
    """Return the records of a launch in the order of its jobs; None unless all of its runs are known and cached."""
    answer = None if key is None else answer_cache.recall(FOLDER, key, _Answer)
    if answer is None or len(answer["ids"]) != len(jobs):
        return None
    if sources((kind, name) for kind, name in answer["components"]) != answer["sources"]:
        return None
    wanted = set(answer["ids"])
    studies = dict.fromkeys((output_root(job.values), job.values["study"]) for job in jobs)
    folders = {(root, study): by_id(root / study, wanted) for root, study in studies}
    records: dict[tuple[Path, str, str], Record | None] = {}
    found = []
    for job, run_id, place in zip(jobs, answer["ids"], answer["watches"], strict=True):
        root = output_root(job.values)
        run = root, job.values["study"], run_id
        if run not in records:
            folder = folders[run[:2]].get(run_id)
            records[run] = None if folder is None else _cached(root, folder, run_id, answer["watched"][place])
        record = records[run]
        if record is None:
            return None
        found.append(record)
    return found


def _cached(root: Path, folder: Path, run_id: str, values: dict[str, Any]) -> Record | None:
    refuse_links(root, folder.relative_to(root))
    old = read(folder)
    return None if old is None or old.id != run_id else sufficient(old, values)


def keep(key: str | None, specs: Sequence[RunSpec], code: Mapping[Used, dict[str, str]]) -> None:
    """Keep the run IDs of a launch whose jobs passed all checks without a warning.

    Args:
        key: The key of the launch, from before its jobs were prepared.
        specs: The prepared jobs.
        code: The components of the runs, with the sources that the IDs were computed from.
    """
    states = {name: state for part in code.values() for name, state in part.items()}
    if key is None or any(states[name] != state for part in code.values() for name, state in part.items()):
        return  # it cannot be known, or code has changed in the meantime
    watched: dict[str, int] = {}
    watches = []
    for spec in specs:
        text = json.dumps({name: spec.values[name] for name in _WATCHED}, default=str)
        watches.append(watched.setdefault(text, len(watched)))
    answer: dict[str, Any] = {
        "ids": [spec.record.id for spec in specs],
        "watched": [json.loads(text) for text in watched],
    }
    answer |= {"watches": watches, "components": sorted({pair for used in code for pair in used}), "sources": states}
    answer_cache.keep(FOLDER, key, answer)


def sufficient(old: Record, values: dict[str, Any]) -> Record | None:
    """Return a record with the ID of a run as cached, if it is complete and holds what the run asks for."""
    if old.status not in ("completed", "diverged"):
        return None
    for kind in ("metric", "diagnostic"):
        held = old.config.get(kind, {})
        if any(held.get(name) != node for name, node in values[kind].items()):
            return None
    if values["evaluate_train"] and not old.config.get("evaluate_train"):
        return None
    wants = values["save"]
    if wants != "none" and (old.config.get("save") != wants or not (old.folder / WEIGHTS).exists()):
        return None if old.status == "completed" else replace(old, cached=True)
    if wants == "best" and old.config.get("objective") != values["objective"]:
        return None  # the best by another measure
    # what is optimised is asked anew at each launch, and decides nothing about the training
    return replace(old, cached=True, config=old.config | {"objective": values["objective"]})
