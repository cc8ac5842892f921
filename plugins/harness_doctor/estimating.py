"""`harness doctor --estimate`: the memory of a run before it is trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import HarnessError
from harness_doctor.engine import compose, one_line, render, reraise_interrupt

if TYPE_CHECKING:
    from harness_doctor.engine_training import MemoryEstimate

MB = 1e6
SIZES = (0.5, 1, 2, 4)  # factors of the configured batch size


def estimate(overrides: list[str], config_dir: str | None, as_json: bool) -> int:
    """Print the estimate of one run."""
    job = compose(overrides, config_dir)
    from harness_doctor.engine_training import build, estimate_memory, free_bytes, prepare

    prepared = prepare(job)
    dataset = prepared.dataset
    try:
        parts = build(prepared.values, dataset, prepared.plan.total_steps)
        memory = estimate_memory(parts, dataset, prepared.plan, prepared.device)
    except HarnessError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        raise HarnessError(f"a step of this run fails: {one_line(error)} (HYDRA_FULL_ERROR=1 shows where)") from error
    here = memory.parameters + memory.data if prepared.device == "cpu" else 0  # already allocated by this process
    free = free_bytes(prepared.device) + here
    sizes = [size for share in SIZES if 1 <= (size := int(memory.batch_size * share)) <= prepared.plan.n]
    report = as_data(memory, sizes, free)
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        _print(report, memory.batch_size)
    return 0


def as_data(memory: MemoryEstimate, sizes: list[int], free: int) -> dict[str, Any]:
    """Return the estimate as plain data, in bytes."""
    activations = memory.activations(memory.batch_size)
    parts = {
        "parameters": memory.parameters,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "averages": memory.averages,
        "copies": memory.weight_copies,
        "diagnostics": memory.previous_weights,
        "data": memory.data,
        "activations": sum(activations.values()),
    }
    totals = {size: memory.total(size) for size in dict.fromkeys([*sizes, memory.batch_size])}
    return {
        "parts": parts,
        "activations": activations,
        "total": totals[memory.batch_size],
        "free": free,
        "batch_sizes": {size: {"total": total, "fits": total <= free} for size, total in sorted(totals.items())},
    }


def _print(report: dict[str, Any], batch_size: int) -> None:
    rows = [[name, _mb(size)] for name, size in report["parts"].items() if size or name in ("optimizer", "activations")]
    layers = [[f"  {layer or 'loss and between layers'}", _mb(size)] for layer, size in report["activations"].items()]
    total = [f"most at one time, of batches of {batch_size}", _mb(report["total"])]
    render(["part", "MB"], [*rows, *layers, total], numeric=["MB"])
    print()
    sizes = [
        [str(size), _mb(row["total"]), "fits" if row["fits"] else "does not fit"]
        for size, row in report["batch_sizes"].items()
    ]
    free = f"in {_mb(report['free'])} MB that are free"
    render(["batch_size", "MB", free], sizes, numeric=["batch_size", "MB"])


def _mb(size: int) -> str:
    return f"{size / MB:,.1f}"
