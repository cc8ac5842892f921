"""Many runs as one program: each run with the component is what it is by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, get_args, get_origin

import torch

from harness.config.schema import entry_parameters
from harness.datasets.dataset import SPLITS, Dataset, Samples, surface
from harness.registry import catalogue
from harness.registry.kinds import AT_END, KINDS
from harness.registry.param_types import space_of
from harness.space import Choice
from harness.system.errors import HarnessError, one_line, shown
from harness.testing.check import check
from harness.testing.component_case import Case, Fault, Inapplicable, expect
from harness.testing.fixtures import taken
from harness.testing.training import LOADER, Found, composed, same, trained
from harness.training.run_state import RunState

# Data and what is done to it once are the same for a stack as for one run, a task is chosen by the data, and who
# watches and where it is done are no part of a step. Every other kind is, one that is new too.
NOT_COMPUTING = {"data", "corruption", "transform", "task", "logger", "executor"}
COMPUTING = tuple(kind for kind in KINDS if kind not in NOT_COMPUTING)
# Sizes that fill neither a cache line nor a vector: there a stack shows whether it minds who stands where.
ODD = ["batch_size=43", "split.test=0.6", "split.val=0.2", "epochs=1"]
SETTINGS: dict[str, Any] = {  # of models that have them
    "width": 13, "depth": 2, "channels": [3, 5], "code": 5, "latent": 5, "denoising": 0.3, "hidden": 7, "readout": 1,
}  # fmt: skip
TRIED: tuple[tuple[int, float | None], ...] = ((3, None), (5, 0.003), (9, None))  # seeds and learning rates
FEW = 110  # samples of a split: batches of 43, 43 and 24
ALONE, MEASURED = 1e-9, 1e-6  # relative; torchmetrics sums in float32


@check(*COMPUTING, needs=("scalar", "repeats", "devices"))
def fused(case: Case) -> None:
    """Many runs trained as one program are each what they are by themselves, to the bit whoever trains beside."""
    if why := alone_because(case.entry):
        raise Inapplicable(why)
    if case.kind == "diagnostic":
        if case.make().when == "end":
            raise Inapplicable("it is measured once, when a run has ended")
        if "machine" in case.make().asks:
            raise Inapplicable("it looks at the machine, and is no function of the run")
    config = composed(tuple(line(case.entry, case.given))).values
    data = suited(case.entry)(LOADER.load(config).dataset)
    if case.kind == "model" and not case.told("input_ndim") and data.target != "surface":
        data = reshaped(data, taken(case, tuple(data.inputs)))
    members = [_with(config, *member) for member in TRIED]
    if case.kind != "diagnostic":  # what looks on is in no step: whether all is the same is seen in what it finds
        _whoever_is_beside(members, data)
    precise = [_with(one, precision="64-true") for one in members[:2]]
    ours: list[Found] = []
    theirs: list[Found] = []
    stacked, (alone,) = trained(precise, data, seen=ours), trained(precise[1:], data, fused=False, seen=theirs)
    _beside(stacked[1].member, alone.member)
    if case.kind == "diagnostic":
        _looked(case.name, stacked[1].member, ours[1], theirs[0])


def _whoever_is_beside(members: list[dict[str, Any]], data: Dataset) -> None:
    """Raises Fault where a run is moved by those that are trained beside it."""
    try:
        whole = trained(members, data)
    except HarnessError:
        raise
    except Exception as error:
        raise Fault(f"runs with it cannot be trained as one program: {one_line(error)[:300]}") from error
    (padded,) = trained(members[-1:], data)
    expect(same(padded, whole[-1]), "a run is another, by some bits, when other runs are trained beside it")


def _with(
    config: dict[str, Any], seed: int | None = None, lr: float | None = None, precision: str | None = None
) -> dict[str, Any]:
    """A config with another seed, learning rate or precision."""
    found = dict(config)
    if seed is not None:
        found["seed"] = seed
    if lr is not None and "lr" in config["optimizer"]:
        found["optimizer"] = config["optimizer"] | {"lr": lr}
    if precision is not None:
        found["trainer"] = config["trainer"] | {"precision": precision}
    return found


def _fewer(dataset: Dataset) -> Dataset:
    """Some samples of each split, in batches of several sizes."""
    parts = {split: dataset.part(split) for split in SPLITS}
    made: dict[str, Any] = {s: Samples(p.x[:FEW], p.y[:FEW]) for s, p in parts.items() if isinstance(p, Samples)}
    return replace(dataset, **made)


def _beside(found: RunState, alone: RunState) -> None:
    """Raises Fault where a run in a stack and the same run alone are not the same in float64."""
    ours, theirs = found.history[0]["train/loss"], alone.history[0]["train/loss"]
    expect(
        math.isclose(ours, theirs, rel_tol=ALONE, abs_tol=1e-12),
        f"in float64 its training loss after one epoch is {ours:.12g} in a stack and {theirs:.12g} alone",
    )
    for name, value in alone.metrics.items():
        other = found.metrics.get(name, math.nan)
        close = math.isclose(other, value, rel_tol=MEASURED, abs_tol=1e-12) or (other != other and value != value)
        expect(close, f"in float64 a run in a stack measures {name} = {other:.9g}, and the same alone {value:.9g}")


def _looked(name: str, member: RunState, found: Found, alone: Found) -> None:
    """Raises Fault where a diagnostic fails, or does not find in a stack what it finds alone."""
    failed = member.diagnosed.get(name, {}).get("failed")
    expect(failed is None, f"of a run in a stack it fails: {failed}")
    tags = {tag for tag, _ in alone.keys() ^ found.keys()}
    expect(not tags, f"it finds {', '.join(sorted(tags))} in a stack or alone, and not in both")
    for (tag, step), value in alone.items():
        if not isinstance(value, float):  # a histogram: a number next to an edge falls on this side or that
            continue
        other = found[tag, step]
        close = math.isclose(other, value, rel_tol=MEASURED, abs_tol=1e-9) or (value != value and other != other)
        expect(close, f"in float64 it finds {tag} = {other:.9g} in a stack after {step} steps, and alone {value:.9g}")


def alone_because(entry: Mapping[str, Any]) -> str:
    """Why a component is never part of a stack; nothing where it can be."""
    traits = entry["traits"]
    if AT_END.intersection(entry["asks"]):
        return "it is measured once, when a run has ended"
    if traits.get("estimator"):
        return "an estimator is fitted at once: it has no steps"
    if traits.get("closure") or traits.get("gradient", True) is False:
        return "an optimizer with a closure evaluates its own run's loss: it is trained alone by design"
    models = [e["traits"] for e in catalogue.current() if e["kind"] == "model"]
    taught = {task for model in models if not model.get("estimator") for task in model.get("tasks", ())}
    tasks = traits.get("tasks")
    return "" if not tasks or taught & set(tasks) else "no installed model of its task is trained in steps"


def small(model: str) -> list[str]:
    """A model with few numbers."""
    found = [f"model={model}"]
    if catalogue.current().get("model", model)["traits"].get("inputs_within"):
        found.append("transform=[min_max]")
    for p in entry_parameters(catalogue.current().get("model", model)):
        if p.name not in SETTINGS or isinstance(space_of(p.hint), Choice):
            continue
        value = SETTINGS[p.name]
        several = get_origin(_bare(p.hint)) in (tuple, list)
        if isinstance(value, list) and not several:
            value = value[-1]
        found.append(f"model.{p.name}={value}".replace(" ", ""))
    return found


def _bare(hint: Any) -> Any:
    return _bare(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def model_for(entry: Mapping[str, Any]) -> str:
    """A model that a component can be tried in: itself, the one that it is for, or else a network of its dimensions."""
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
    """The overrides of a short run with a component, its model small."""
    kind, name = KINDS[entry["kind"]], entry["name"]
    tasks = entry["traits"].get("tasks")
    task = [f"task={tasks[0]}"] if tasks else []
    chosen = [] if kind.name == "model" else [f"{kind.name}=[{name}]" if kind.many else f"{kind.name}={name}"]
    path = f"{kind.name}.{name}" if kind.many else kind.name
    if kind.name == "diagnostic":
        chosen.append("diagnostic_budget=1000")  # it is measured whenever it is due
    return [*ODD, *small(model_for(entry)), *task, *chosen, *(f"{path}.{k}={shown(v)}" for k, v in given.items())]


def suited(entry: Mapping[str, Any]) -> Callable[[Dataset], Dataset]:
    """Images of classes as what a component wants: its task's targets; rows one after the other."""
    tasks = entry["traits"].get("tasks")
    traits = catalogue.current().get("task", tasks[0])["traits"] if tasks else {}
    fewer = _as_it_is if traits.get("tuples") else _fewer  # they want several samples of each class
    target = next(iter(traits.get("targets", ())), "class")
    made = _MADE[target] if target != "class" else _parity if traits.get("classes") == 2 else _as_it_is
    if traits.get("words"):
        made = _words
    if entry["kind"] == "model" and 2 in (entry["traits"].get("input_ndim") or ()):
        return lambda dataset: made(_sequences(fewer(dataset)))
    return lambda dataset: made(fewer(dataset))


def _changed(dataset: Dataset, change: Callable[[Samples], Samples], **more: Any) -> Dataset:
    parts = {split: dataset.part(split) for split in SPLITS}
    made: dict[str, Any] = {s: change(p) for s, p in parts.items() if isinstance(p, Samples)}
    return replace(dataset, **made, **more)


def reshaped(dataset: Dataset, shape: tuple[int, ...]) -> Dataset:
    """Inputs of another shape, made of the middle of each or of several copies of it."""
    if tuple(dataset.inputs) == shape:
        return dataset
    wanted, held = math.prod(shape), math.prod(dataset.inputs)
    skipped = max(0, held - wanted) // 2

    def change(part: Samples) -> Samples:
        flat = part.x.flatten(1)[:, skipped:].repeat(1, math.ceil(wanted / held))
        return Samples(flat[:, :wanted].reshape(len(flat), *shape), part.y)

    return _changed(dataset, change)


def _as_it_is(dataset: Dataset) -> Dataset:
    return dataset


def _sequences(dataset: Dataset) -> Dataset:
    """Images [1, 8, 8] as sequences [8, 8]."""
    return _changed(dataset, lambda p: Samples(p.x.flatten(1, 2), p.y))


def _parity(dataset: Dataset) -> Dataset:
    return _changed(dataset, lambda p: Samples(p.x, p.y % 2), classes=("even", "odd"))


def _words(dataset: Dataset) -> Dataset:
    """Each digit as one of 16 words, beside that of its class."""
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


_MADE = {"real": _real, "labels": _labels, "surface": _surface}
