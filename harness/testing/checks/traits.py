"""Conformance check of the traits that a component declares."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import torch

from harness.datasets.dataset import Target
from harness.registry import catalogue
from harness.registry.scanning.dependencies import installed
from harness.system.errors import HarnessError
from harness.testing import fixtures as benches
from harness.testing.check import check
from harness.testing.component_case import Case, Fault, Inapplicable, drawn, expect, smooth_block
from harness.testing.exercise import scheduled
from harness.testing.fixtures import bench, tasks_of
from harness.testing.opened_files import opened_files

MAX_GAIN_RATIO = 2.0  # some gains are exact, others are a rule of thumb


@check()
def traits(case: Case) -> None:
    """The declared traits are true."""
    named = [t for t in case.entry["traits"] if t != "skips"]
    check_kind = _CHECKS.get(case.kind)
    if not named and case.kind != "model":
        raise Inapplicable("it declares nothing")
    for task in case.list_trait("tasks"):
        _known("task", str(task), "tasks")
    if check_kind is not None:
        check_kind(case)


def _known(kind: str, name: str, trait: str) -> dict[str, Any]:
    try:
        return catalogue.current().get(kind, name)
    except HarnessError as error:
        raise Fault(f"its trait {trait}: {error}") from error


def _activation(case: Case) -> None:
    gain = float(case.trait("gain", 1.0))
    expect(math.isfinite(gain) and gain > 0, f"its gain is {gain}")
    if "gain" not in case.entry["traits"] or "x" not in case.asks:
        return
    z = torch.linspace(-8, 8, 3201, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    neutral = float(torch.trapezoid(case.compute()(z).square() * density, z)) ** -0.5
    expect(
        1 / MAX_GAIN_RATIO <= gain / neutral <= MAX_GAIN_RATIO,
        f"its gain is {gain:.4g}, but 1 / sqrt(E f(z)²), which preserves the variance, is {neutral:.4g}",
    )


def _normalization(case: Case) -> None:
    if not case.trait("cancels_bias", False) or "layer" in case.asks:
        return
    x = drawn((16, 3, 4, 4), "x", dtype=torch.float64)
    module = case.make(features=3, ndim=2).double()
    moved = x + drawn((1, 3, 1, 1), "bias", dtype=torch.float64)
    same = torch.allclose(module(x), module(moved), atol=1e-6)
    expect(same, "it declares that it cancels a bias, but a constant added to a channel changes its output")


def _model(case: Case) -> None:
    for trait, kind in (("losses", "loss"), ("metrics", "metric")):
        for name in case.list_trait(trait):
            fits = _known(kind, str(name), trait)["traits"].get("tasks") or case.list_trait("tasks")
            wrong = set(case.list_trait("tasks")) - set(fits)
            expect(not wrong, f"its {kind} {name} is not for the task {', '.join(sorted(wrong))}, which it is for")
    if case.entry["traits"].get("estimator"):
        made = case.make(inputs=(6,), outputs=3)
        can = all(callable(getattr(made, method, None)) for method in ("fit", "predict"))
        expect(can, "it declares that it is an estimator, but lacks fit or predict")
        return
    wanted = [d for d in case.list_trait("input_ndim") if d in benches.SHAPES]
    task = tasks_of(case)[0]
    data = bench(case, task).dataset
    if data.target == "surface":
        return
    for ndim in wanted:
        x = drawn((4, *benches.SHAPES[ndim]), "x")
        try:
            made = case.make(inputs=tuple(x.shape[1:]), outputs=3, block=smooth_block())
            made(x)
        except Exception as error:
            raise Fault(f"it declares samples of {ndim} dimensions, but fails on one: {error}") from error


def _scheduler(case: Case) -> None:
    _, made = scheduled(case)
    plateau = isinstance(made, torch.optim.lr_scheduler.ReduceLROnPlateau)
    expect(
        plateau == ("watches" in case.entry["traits"]),
        "the trait watches must be declared for torch's ReduceLROnPlateau, and for nothing else",
    )


def _task(case: Case) -> None:
    declared = case.entry["traits"]
    fits = _known("loss", str(declared.get("loss")), "loss")["traits"].get("tasks")
    serves = catalogue.current().serves
    expect(serves(fits, case.name), f"its loss {declared.get('loss')} is only for {', '.join(fits or ())}")
    for name in (*(declared.get("metrics") or ()), *(declared.get("imbalance_metrics") or ())):
        fits = _known("metric", str(name), "metrics")["traits"].get("tasks")
        expect(serves(fits, case.name), f"its metric {name} is only for {', '.join(fits or ())}")
    wrong = set(declared.get("targets") or ()) - set(get_args(Target))
    expect(not wrong, f"there are no {', '.join(sorted(wrong))} targets: {', '.join(get_args(Target))}")
    expect(declared.get("classes", 2) >= 2, "its trait classes must be at least 2")
    for kind in ("model", "like"):
        if name := declared.get(kind):
            _known("task" if kind == "like" else kind, str(name), kind)


def _optimizer(case: Case) -> None:
    known = {"full_batch", "closure", "gradient"}
    wrong = [t for t in known & case.entry["traits"].keys() if not isinstance(case.trait(t), bool)]
    expect(not wrong, f"its trait {', '.join(wrong)} is neither True nor False")


def _corruption(case: Case) -> None:
    wrong = set(case.list_trait("targets")) - set(get_args(Target))
    expect(not wrong, f"there are no {', '.join(sorted(map(str, wrong)))} targets: {', '.join(get_args(Target))}")


def _data(case: Case) -> None:
    if "reads" not in case.entry["traits"]:
        return
    unknown = set(case.list_trait("reads")) - {p.name for p in case.parameters}
    expect(not unknown, f"its trait reads names {', '.join(sorted(unknown))}, which is no setting of it")
    named = [Path(str(case.settings[name])).expanduser() for name in case.list_trait("reads")]
    package = Path(str(sys.modules[case.function.__module__.partition(".")[0]].__file__)).parent
    allowed = [path.resolve() for path in (*named, case.folder, package, *map(Path, installed()))]
    with opened_files() as opened:
        case.make()
    read = {Path(path).resolve() for path in opened if os.path.isfile(path) and not path.endswith((".py", ".pyc"))}
    other = sorted(str(path) for path in read if not any(path.is_relative_to(folder) for folder in allowed))
    expect(not other, f"it reads {', '.join(other[:3])}, which its trait reads does not name")


_CHECKS: dict[str, Callable[[Case], None]] = {
    "activation": _activation, "normalization": _normalization, "model": _model, "scheduler": _scheduler,
    "task": _task, "optimizer": _optimizer, "corruption": _corruption, "data": _data,
}  # fmt: skip
