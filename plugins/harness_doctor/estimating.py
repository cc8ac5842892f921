"""`harness doctor --estimate`: what a run is going to hold in memory, before it is trained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness import HarnessError
from harness_doctor.engine import compose, one_line, render, reraise_interrupt

if TYPE_CHECKING:
    from harness_doctor.engine_training import MemoryEstimate

MB = 1e6
SIZES = (0.5, 1, 2, 4)  # of the batch, times what was asked for


def estimate(overrides: list[str], config_dir: str | None, as_json: bool) -> int:
    """Print the estimate of one run."""
    job = compose(overrides, config_dir)
    from harness_doctor.engine_training import build, estimate_memory, free_bytes, prepare

    prepared = prepare(job)
    dataset = prepared.dataset
    try:
        parts = build(prepared.values, dataset, prepared.plan.total_steps)
        found = estimate_memory(parts, dataset, prepared.plan, prepared.device)
    except HarnessError:
        raise
    except BaseException as error:
        reraise_interrupt(error)
        raise HarnessError(f"a step of this run fails: {one_line(error)} (HYDRA_FULL_ERROR=1 shows where)") from error
    here = found.parameters + found.data if prepared.device == "cpu" else 0  # this process holds them already
    free = free_bytes(prepared.device) + here
    sizes = [size for share in SIZES if 1 <= (size := int(found.batch_size * share)) <= prepared.plan.n]
    told = told_of(found, sizes, free)
    if as_json:
        print(json.dumps(told, indent=1))
    else:
        _print(told, found.batch_size)
    return 0


def told_of(found: MemoryEstimate, sizes: list[int], free: int) -> dict[str, Any]:
    """The estimate as plain data, in bytes."""
    activations = found.activations(found.batch_size)
    parts = {
        "parameters": found.parameters,
        "gradients": found.gradients,
        "optimizer": found.optimizer,
        "averages": found.averages,
        "copies": found.weight_copies,
        "diagnostics": found.previous_weights,
        "data": found.data,
        "activations": sum(activations.values()),
    }
    totals = {size: found.total(size) for size in dict.fromkeys([*sizes, found.batch_size])}
    return {
        "parts": parts,
        "activations": activations,
        "total": totals[found.batch_size],
        "free": free,
        "batch_sizes": {size: {"total": total, "fits": total <= free} for size, total in sorted(totals.items())},
    }


def _print(told: dict[str, Any], batch_size: int) -> None:
    rows = [[name, _mb(size)] for name, size in told["parts"].items() if size or name in ("optimizer", "activations")]
    of_layers = [[f"  {layer or 'loss and between layers'}", _mb(size)] for layer, size in told["activations"].items()]
    total = [f"most at one time, of batches of {batch_size}", _mb(told["total"])]
    render(["part", "MB"], [*rows, *of_layers, total], numeric=["MB"])
    print()
    sizes = [
        [str(size), _mb(row["total"]), "fits" if row["fits"] else "does not fit"]
        for size, row in told["batch_sizes"].items()
    ]
    free = f"in {_mb(told['free'])} MB that are free"
    render(["batch_size", "MB", free], sizes, numeric=["batch_size", "MB"])


def _mb(size: int) -> str:
    return f"{size / MB:,.1f}"
