"""Rules on hardware: memory, slow data loading, batches too small for the device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness_doctor.engine import KEY, current, says_out_of_memory
from harness_doctor.engine import quantities as q
from harness_doctor.evidence import RunEvidence
from harness_doctor.finding import Evidence, Finding, between

LOADER, SMALL, MEMORY = "data loader bound", "batch too small for the device", "memory"


def loader(seen: RunEvidence) -> Finding | None:
    """Find training that waits for data."""
    share, evidence = waiting(seen)
    if not evidence:
        return None
    node = seen.config.get("data", {})
    tries = ("data.in_memory=true",) if "in_memory" in node else ()
    if not tries and isinstance(node.get("workers"), int):
        tries = (f"data.workers={max(4, 2 * node['workers'])}",)
    cause = "samples are fetched one by one, and the network waits for them"
    return Finding(LOADER, 0.9 * between(share, 0.25, 0.5), evidence, cause, tries)


def waiting(seen: RunEvidence) -> tuple[float, tuple[Evidence, ...]]:
    """Return the share of the training time spent waiting for data, with its evidence; none if unknown."""
    if (waited := seen.last(q.WAITING).get("")) is not None:
        return waited[1], (Evidence("share of the training time in which data was waited for", waited[1]),)
    data, fit = seen.data, float(seen.time.get("fit_s") or 0)
    if data is None or not data.fetch_s or not fit or not seen.steps:
        return 0.0, ()
    step = fit / seen.steps
    evidence = (
        Evidence("seconds to fetch a batch's samples", data.fetch_s),
        Evidence("seconds of a whole step", step),
    )
    return data.fetch_s / step, evidence


def limit(seen: RunEvidence) -> str:
    """Return a line on what limits the speed; "" if nothing was measured."""
    if waiting(seen)[0] > 0.25:
        return "limited by data: the network waits for its samples"
    times = speedup(seen)
    if math.isnan(times):
        return ""
    if times > 1.5:
        return (
            f"limited by what a step costs whatever its size: with four times as large a batch, {times:.1f} times as "
            "many samples a second"
        )
    return "limited by arithmetic: larger batches, or a faster loader, would train no more samples a second"


def speedup(seen: RunEvidence) -> float:
    """Return the ratio of samples per second with batches four times as large; nan if unknown."""
    return math.nan if seen.net is None else 4 * seen.net.step_s / seen.net.step4_s


def small(seen: RunEvidence) -> Finding | None:
    """Find batches that four times as many samples would hardly slow down."""
    times, size = speedup(seen), int(seen.config.get("batch_size", 0))
    if math.isnan(times) or not size:
        return None
    evidence = (
        Evidence("samples a second with batches four times as large, over those now", times),
        Evidence("samples in a batch", float(size)),
    )
    cause = "most of a step is overhead that does not grow with the batch"
    confidence = 0.75 * between(times, 1.8, 2.8) * between(size, 8, 2)
    return Finding(SMALL, confidence, evidence, cause, larger(seen))


def larger(seen: RunEvidence) -> tuple[str, ...]:
    """Return overrides for batches of about 32 samples, with a learning rate that grows with the square root."""
    size, n = int(seen.config["batch_size"]), int(seen.counts.get("train", 0))
    new = next(s for s in range(max(32, 2 * size), 0, -1) if n % s != 1)
    grown = seen.lr * math.sqrt(new / size)
    return (f"batch_size={new}", *([] if math.isnan(grown) else [f"optimizer.lr={grown:.3g}"]))


def memory(seen: RunEvidence) -> Finding | None:
    """Find runs that ended out of memory."""
    error = seen.error or {}
    if not says_out_of_memory(f"{error.get('type', '')} {error.get('message', '')}"):
        return None
    estimated = Evidence("bytes that were estimated before the run", float(seen.memory.get("estimate") or math.nan))
    if _parameters_do_not_fit(seen):
        node, smaller = seen.config["model"], _smaller(seen.config["model"])
        made = tuple(Evidence(f"model.{key}", float(node[key])) for key in smaller)
        cause = "parameters, gradients and optimizer state of a model of this size do not fit, whatever the batch"
        settings = tuple(f"model.{key}={value}" for key, value in smaller.items())
        return Finding(MEMORY, 0.97, (*made, estimated), cause, (f"model={node[KEY]}", *settings) if settings else ())
    size = int(seen.config["batch_size"])
    evidence = (Evidence("samples in a batch", float(size)), estimated)
    cause = "activations of a batch, parameters, gradients and optimizer state do not fit together"
    less = max(1, size // 4)
    tries = (f"batch_size={less}", f"accumulate={max(1, size // less) * int(seen.config['accumulate'])}")
    return Finding(MEMORY, 0.97, evidence, cause, tries)


def _parameters_do_not_fit(seen: RunEvidence) -> bool:
    """Return True if the model could not be built, or if its parameters need more memory than a batch."""
    parts = seen.memory.get("parts", {})
    of_model = sum(parts.get(part, 0) for part in ("parameters", "gradients", "optimizer"))
    unbuilt = "train" in seen.counts and "parameters" not in seen.counts
    return unbuilt or of_model > parts.get("activations", math.inf)


def _smaller(model: Mapping[str, Any]) -> dict[str, int]:
    """Return the defaults of the sizes that exceed them; if none does, a quarter of the largest size."""
    known = current().entries["model"].get(model[KEY], {})
    defaults = {row["name"]: row.get("default") for row in known.get("parameters", ())}
    sizes = {key: value for key, value in model.items() if type(value) is int and value > 1}
    above = {key: least for key, value in sizes.items() if type(least := defaults.get(key)) is int and value > least}
    return above or {key: value // 4 for key, value in sizes.items() if value > 4 and value == max(sizes.values())}


RULES = (loader, small, memory)
