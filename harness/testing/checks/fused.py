"""Check that runs with a component that train as one program equal the same runs alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, get_args, get_origin

import torch

from harness.datasets.dataset import SPLITS, Dataset, Samples, surface
from harness.registry import catalogue
from harness.registry.catalogue import entry_parameters
from harness.registry.kinds import AT_END, KINDS
from harness.registry.param_types import space_of
from harness.space import Choice
from harness.system.errors import HarnessError, one_line, shown
from harness.testing.check import check
from harness.testing.component_case import Case, Fault, Inapplicable, expect
from harness.testing.fixtures import accepted_shape
from harness.testing.training import LOADER, Found, composed, same, trained
from harness.training.run_state import RunState

# Kinds that are not part of the steps of a stack: data is prepared once, loggers and executors only observe and launch,
# and a run with callbacks trains alone.
NOT_COMPUTING = {"data", "corruption", "transform", "task", "callback", "logger", "executor"}
COMPUTING = tuple(kind for kind in KINDS if kind not in NOT_COMPUTING)
# Sizes that fill neither a cache line nor a vector, so that a dependence on the position in the stack would show.
ODD = ["batch_size=43", "split.test=0.6", "split.val=0.2", "epochs=1"]
SETTINGS: dict[str, Any] = {  # small values for settings of models
    "width": 13, "depth": 2, "channels": [3, 5], "code": 5, "latent": 5, "denoising": 0.3, "hidden": 7, "readout": 1,
}  # fmt: skip
TRIED: tuple[tuple[int, float | None], ...] = ((3, None), (5, 0.003), (9, None))  # seeds and learning rates
SPLIT_SAMPLES = 110  # samples of a split, for batches of 43, 43 and 24
LOSS_RTOL, METRIC_RTOL = 1e-9, 1e-6  # torchmetrics sums in float32


@check(*COMPUTING, needs=("scalar", "repeats", "devices"))
def fused(case: Case) -> None:
    """Runs that train as one program equal the same runs alone, and are bit-equal whatever trains beside them."""
    if why := alone_because(case.entry):
        raise Inapplicable(why)
    if case.kind == "diagnostic":
        if case.make().when == "end":
            raise Inapplicable("it is measured once, after training")
        if "machine" in case.make().asks:
            raise Inapplicable("it measures the machine, not the run")
    config = composed(tuple(line(case.entry, case.given))).values
    data = suited(case.entry)(LOADER.load(config).dataset)
    if case.kind == "model" and not case.list_trait("input_ndim") and data.target != "surface":
        data = reshaped(data, accepted_shape(case, tuple(data.inputs)))
    members = [varied(config, *member) for member in TRIED]
    if case.kind != "diagnostic":  # a diagnostic is not part of a step: only its values are compared
        _check_independence(members, data)
    precise = [varied(config, precision="64-true") for config in members[:2]]
    stacked_values: list[Found] = []
    alone_values: list[Found] = []
    stacked = trained(precise, data, seen=stacked_values)
    (alone,) = trained(precise[1:], data, fused=False, seen=alone_values)
    _compare_runs(stacked[1].state, alone.state)
    if case.kind == "diagnostic":
        _compare_diagnostics(case.name, stacked[1].state, stacked_values[1], alone_values[0])


def _check_independence(members: list[dict[str, Any]], data: Dataset) -> None:
    """Raise Fault if a run depends on the runs that train beside it."""
    try:
        stacked = trained(members, data)
    except HarnessError:
        raise
    except Exception as error:
        raise Fault(f"runs with it cannot be trained as one program: {one_line(error)[:300]}") from error
    (padded,) = trained(members[-1:], data)
    expect(same(padded, stacked[-1]), "a run differs in some bits when other runs train beside it")


def varied(
    config: dict[str, Any], seed: int | None = None, lr: float | None = None, precision: str | None = None
) -> dict[str, Any]:
    """Return a config with another seed, learning rate or precision."""
    changed = dict(config)
    if seed is not None:
        changed["seed"] = seed
    if lr is not None and "lr" in config["optimizer"]:
        changed["optimizer"] = config["optimizer"] | {"lr": lr}
    if precision is not None:
        changed["trainer"] = config["trainer"] | {"precision": precision}
    return changed


def _reduced(dataset: Dataset) -> Dataset:
    """Return a data set with some samples of each split, for batches of several sizes."""
    n = SPLIT_SAMPLES
    return _changed(dataset, lambda part: Samples(part.x[:n], part.y[:n]))


def _compare_runs(stacked: RunState, alone: RunState) -> None:
    """Raise Fault if a run in a stack and the same run alone differ in float64."""
    stacked_loss, alone_loss = stacked.history[0]["train/loss"], alone.history[0]["train/loss"]
    expect(
        math.isclose(stacked_loss, alone_loss, rel_tol=LOSS_RTOL, abs_tol=1e-12),
        f"in float64 its training loss after one epoch is {stacked_loss:.12g} in a stack and {alone_loss:.12g} alone",
    )
    for name, value in alone.metrics.items():
        other = stacked.metrics.get(name, math.nan)
        close = math.isclose(other, value, rel_tol=METRIC_RTOL, abs_tol=1e-12) or (other != other and value != value)
        expect(close, f"in float64 {name} is {other:.9g} for a run in a stack and {value:.9g} for the same run alone")


def _compare_diagnostics(name: str, member: RunState, stacked: Found, alone: Found) -> None:
    """Raise Fault if a diagnostic fails, or if its values in a stack differ from those alone."""
    failed = member.diagnostics.get(name, {}).get("failed")
    expect(failed is None, f"it fails for a run in a stack: {failed}")
    tags = {tag for tag, _ in alone.keys() ^ stacked.keys()}
    expect(not tags, f"it measures {', '.join(sorted(tags))} only in a stack, or only alone")
    for (tag, step), value in alone.items():
        if not isinstance(value, float):  # the counts of a histogram may differ for a value next to an edge
            continue
        other = stacked[tag, step]
        close = math.isclose(other, value, rel_tol=METRIC_RTOL, abs_tol=1e-9) or (value != value and other != other)
        expect(close, f"in float64 {tag} after {step} steps is {other:.9g} in a stack and {value:.9g} alone")


def alone_because(entry: Mapping[str, Any]) -> str:
    """Return why a component cannot be part of a stack, or the empty string."""
    traits = entry["traits"]
    if AT_END.intersection(entry["asks"]):
        return "it is measured once, after training"
    if traits.get("estimator"):
        return "an estimator is fitted at once: it has no steps"
    if traits.get("closure") or traits.get("gradient", True) is False:
        return "an optimizer with a closure evaluates its own run's loss: it is trained alone by design"
    models = [e["traits"] for e in catalogue.current() if e["kind"] == "model"]
    trainable = {task for model in models if not model.get("estimator") for task in model.get("tasks", ())}
    tasks = traits.get("tasks")
    return "" if not tasks or trainable & set(tasks) else "no installed model of its task is trained in steps"


def small(model: str) -> list[str]:
    """Return overrides that choose a model with few parameters."""
    overrides = [f"model={model}"]
    if catalogue.current().get("model", model)["traits"].get("inputs_within"):
        overrides.append("transform=[min_max]")
    for p in entry_parameters(catalogue.current().get("model", model)):
        if p.name not in SETTINGS or isinstance(space_of(p.hint), Choice):
            continue
        value = SETTINGS[p.name]
        takes_list = get_origin(_bare(p.hint)) in (tuple, list)
        if isinstance(value, list) and not takes_list:
            value = value[-1]
        overrides.append(f"model.{p.name}={value}".replace(" ", ""))
    return overrides


def _bare(hint: Any) -> Any:
    return _bare(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def model_for(entry: Mapping[str, Any]) -> str:
    """Return the name of a model to test a component with: itself, the one it is for, or one of fitting dimensions."""
    known = [e for e in catalogue.current() if e["kind"] == "model"]
    kind, name, traits = entry["kind"], entry["name"], entry["traits"]
    own = {"loss": "losses", "metric": "metrics"}.get(kind, "")
    usual = KINDS["model"].auto
    tasks = [catalogue.current().get("task", task)["traits"] for task in traits.get("tasks") or ()]
    if tasks and tasks[0].get("model"):
        usual = tasks[0]["model"]
    images = 3 in (traits.get("input_ndim") or ())

    def fitness(model: Mapping[str, Any]) -> tuple[bool, ...]:
        has = model["traits"]
        return (
            name not in (has.get(own) or ()),
            bool(has.get("estimator")),
            images != (3 in (has.get("input_ndim") or ())),
            model["name"] != usual,
            bool(traits.get("tasks")) and traits["tasks"][0] not in (has.get("tasks") or traits["tasks"]),
        )

    return str(name if kind == "model" else min(known, key=fitness)["name"])


def line(entry: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    """Return the overrides of a short run with a component and a small model.

    Args:
        entry: Catalogue entry of the component.
        given: Settings of the component.
    """
    kind, name = KINDS[entry["kind"]], entry["name"]
    tasks = entry["traits"].get("tasks")
    task = [f"task={tasks[0]}"] if tasks else []
    chosen = [] if kind.name == "model" else [f"{kind.name}=[{name}]" if kind.many else f"{kind.name}={name}"]
    path = f"{kind.name}.{name}" if kind.many else kind.name
    if kind.name == "diagnostic":
        chosen.append("diagnostic_budget=1000")  # so that no measurement is left out
    return [*ODD, *small(model_for(entry)), *task, *chosen, *(f"{path}.{k}={shown(v)}" for k, v in given.items())]


def suited(entry: Mapping[str, Any]) -> Callable[[Dataset], Dataset]:
    """Return a function that turns images with classes into the data that a component needs."""
    tasks = entry["traits"].get("tasks")
    traits = catalogue.current().get("task", tasks[0])["traits"] if tasks else {}
    reduce = _unchanged if traits.get("tuples") else _reduced  # tuples need several samples of each class
    target = next(iter(traits.get("targets", ())), "class")
    convert = _CONVERSIONS[target] if target != "class" else _parity if traits.get("classes") == 2 else _unchanged
    if traits.get("words"):
        convert = _words
    if entry["kind"] == "model" and 2 in (entry["traits"].get("input_ndim") or ()):
        return lambda dataset: convert(_sequences(reduce(dataset)))
    return lambda dataset: convert(reduce(dataset))


def _changed(dataset: Dataset, change: Callable[[Samples], Samples], **more: Any) -> Dataset:
    parts = {split: dataset.part(split) for split in SPLITS}
    changed: dict[str, Any] = {s: change(p) for s, p in parts.items() if isinstance(p, Samples)}
    return replace(dataset, **changed, **more)


def reshaped(dataset: Dataset, shape: tuple[int, ...]) -> Dataset:
    """Return a data set with inputs of another shape, cut from the middle of each or made of several copies."""
    if tuple(dataset.inputs) == shape:
        return dataset
    new_size, old_size = math.prod(shape), math.prod(dataset.inputs)
    skipped = max(0, old_size - new_size) // 2

    def change(part: Samples) -> Samples:
        flat = part.x.flatten(1)[:, skipped:].repeat(1, math.ceil(new_size / old_size))
        return Samples(flat[:, :new_size].reshape(len(flat), *shape), part.y)

    return _changed(dataset, change)


def _unchanged(dataset: Dataset) -> Dataset:
    return dataset


def _sequences(dataset: Dataset) -> Dataset:
    """Return images [1, 8, 8] as sequences [8, 8]."""
    return _changed(dataset, lambda p: Samples(p.x.flatten(1, 2), p.y))


def _parity(dataset: Dataset) -> Dataset:
    return _changed(dataset, lambda p: Samples(p.x, p.y % 2), classes=("even", "odd"))


def _words(dataset: Dataset) -> Dataset:
    """Return each digit as one of 16 words, with its class as the target word."""
    words = _changed(dataset, lambda p: Samples(p.x.flatten(1)[:, 20:21].round().long().abs() % 16, p.y))
    analogies = tuple((a, a + 1, a + 2, a + 3) for a in range(12))
    return replace(words, vocabulary=tuple("abcdefghijklmnop"), analogies=analogies)


def _labels(dataset: Dataset) -> Dataset:
    def bits(p: Samples) -> Samples:
        return Samples(p.x, (p.y[:, None] >> torch.arange(4) & 1).float())

    return _changed(dataset, bits, target="labels", classes=("1", "2", "4", "8"))


def _real(dataset: Dataset) -> Dataset:
    def sums(p: Samples) -> Samples:
        return Samples(p.x, p.x.reshape(len(p.x), 8, 8).sum(1))

    return _changed(dataset, sums, target="real", classes=())


def _surface(dataset: Dataset) -> Dataset:
    return surface(lambda w: (w * w).sum(-1) * 0.5 + w.prod(-1), (1.0, -0.5, 2.0), (0.0, 0.0, 0.0))


_CONVERSIONS = {"real": _real, "labels": _labels, "surface": _surface}
