"""What `auto` stands for, once the data is known; and which choices cannot meet."""

from __future__ import annotations

from typing import Any

from harness.config.schema import default_node
from harness.config.validation import component_values
from harness.datasets.dataset import Dataset, Samples
from harness.datasets.loading import _is_within, transforms
from harness.registry.catalogue import Catalogue
from harness.registry.kinds import AT_END, AUTO, KEY, KINDS, NONE
from harness.system.errors import HarnessError, suggest


def _with_settings(catalogue: Catalogue, kind: str, name: str, typed: dict[str, Any]) -> dict[str, Any]:
    """What `auto` stands for, with the settings that were typed for it."""
    try:
        return component_values(kind, {KEY: name} | typed, kind, catalogue)
    except HarnessError as error:
        raise HarnessError(f"{error} ({kind}=auto is {name} here)") from error


def resolve(values: dict[str, Any], dataset: Dataset, catalogue: Catalogue) -> dict[str, Any]:
    """The config without `auto`. Raises HarnessError for components that do not fit each other or the data."""
    out = dict(values)

    def chosen(kind: str) -> str:
        return str(out[kind][KEY])

    def traits(kind: str, name: str) -> dict[str, Any]:
        return dict(catalogue.get(kind, name)["traits"])

    def decide(kind: str, name: str | None) -> None:
        if chosen(kind) != AUTO or name is None:
            return
        if typed := {k: v for k, v in out[kind].items() if k != KEY}:
            out[kind] = _with_settings(catalogue, kind, name, typed)
        else:
            out[kind] = default_node(catalogue, kind, name)

    decide("executor", KINDS["executor"].auto)
    fitting = [n for n in catalogue.names("task") if dataset.target in traits("task", n).get("targets", ())]
    # a model without a say gets the usual task, and rather one for these targets than one for any
    fitting.sort(key=lambda n: (not traits("task", n).get("auto", False), len(traits("task", n)["targets"])))
    usual = fitting[:1] if chosen("task") == AUTO else [chosen("task")]
    own = traits("task", usual[0]).get("model") if usual else None
    decide("model", own or KINDS["model"].auto)
    model = traits("model", chosen("model"))
    wanted = [t for t in model.get("tasks", fitting) if t in fitting]
    if chosen("task") == AUTO and not wanted:
        raise HarnessError(f"model {chosen('model')} has no task for {dataset.target} targets")
    decide("task", wanted[0] if wanted else None)
    task = chosen("task")
    targets = traits("task", task).get("targets", ())
    if dataset.target not in targets:
        raise HarnessError(
            f"task {task} wants {' or '.join(targets)} targets, and data {chosen('data')} has {dataset.target} ones."
            + (" Say what they are with data.kind=real or data.kind=class." if "kind" in out["data"] else "")
        )
    classes = traits("task", task).get("classes", len(dataset.classes))
    if dataset.target == "class" and len(dataset.classes) != classes:
        raise HarnessError(f"task {task} wants {classes} classes, and data {chosen('data')} has {len(dataset.classes)}")
    decide("initializer", _initializer(catalogue.get("model", chosen("model")), catalogue))
    decide("loss", next(iter(model.get("losses", ())), traits("task", task).get("loss", "")))
    own = [*traits("task", task).get("metrics", ()), *model.get("metrics", ())]
    out["metric"] = {n: default_node(catalogue, "metric", n) for n in own if n not in out["metric"]} | out["metric"]
    out["transform"] = transforms(out["transform"], dataset, catalogue)
    _check_pairs(out, task, dataset, catalogue)
    _check_own(out, catalogue)
    _check_inputs(out, dataset, catalogue)
    _check_estimator(out, dataset, catalogue)
    out["objective"] = _objective(out, own, catalogue)
    return out


def _initializer(model: dict[str, Any], catalogue: Catalogue) -> str | None:
    """What `auto` stands for: the usual one where a model is made of blocks or names one (trait `initializer`); a
    model that makes its layers by itself keeps their weights.
    """
    usual = KINDS["initializer"].auto if "block" in model["asks"] or model["traits"].get("estimator") else None
    keeping = (n for n in catalogue.names("initializer") if catalogue.get("initializer", n)["traits"].get("keeps"))
    return model["traits"].get("initializer") or usual or next(keeping, KINDS["initializer"].auto)


def _check_pairs(values: dict[str, Any], task: str, dataset: Dataset, catalogue: Catalogue) -> None:
    for kind in KINDS.values():
        nodes = values[kind.name].values() if kind.many else [values[kind.name]]
        for node in nodes:
            name = node[KEY]
            if name == NONE and name not in catalogue.entries[kind.name]:
                continue
            traits = catalogue.get(kind.name, name)["traits"]
            tasks, dimensions = traits.get("tasks"), traits.get("input_ndim")
            if not catalogue.serves(tasks, task):
                fit = [
                    n
                    for n in catalogue.names(kind.name)
                    if catalogue.serves(catalogue.get(kind.name, n)["traits"].get("tasks"), task)
                ]
                raise HarnessError(f"{kind.name} {name} does not fit task {task}.{suggest('', fit)}")
            if dimensions and len(dataset.inputs) not in dimensions:
                wants = " or ".join(str(d) for d in dimensions)
                raise HarnessError(
                    f"{kind.name} {name} wants samples of {wants} dimensions, and data {values['data'][KEY]} "
                    f"has samples of shape {tuple(dataset.inputs)}"
                )
            targets = traits.get("targets") if kind.name == "metric" else None
            if targets and dataset.target not in targets:
                raise HarnessError(
                    f"metric {name} wants {' or '.join(targets)} targets, and data {values['data'][KEY]} has "
                    f"{dataset.target} ones"
                )


def _check_own(values: dict[str, Any], catalogue: Catalogue) -> None:
    """A loss or a metric that some models name is for what these return, and for no other's."""
    model = values["model"][KEY]
    models = {name: catalogue.get("model", name)["traits"] for name in catalogue.names("model")}
    for kind, trait, names in (("loss", "losses", [values["loss"][KEY]]), ("metric", "metrics", values["metric"])):
        for name in names:
            naming = [m for m, traits in models.items() if name in traits.get(trait, ())]
            if naming and model not in naming:
                raise HarnessError(
                    f"{kind} {name} does not fit model {model}.{suggest('', models[model].get(trait, ()))}"
                )


def _check_inputs(values: dict[str, Any], dataset: Dataset, catalogue: Catalogue) -> None:
    """A model may say that its inputs are real numbers, and within which ones they lie, after transforms."""
    name = values["model"][KEY]
    traits = catalogue.get("model", name)["traits"]
    if traits.get("real_inputs") and not dataset.real_inputs:
        raise HarnessError(
            f"model {name} wants inputs that are real numbers, and these are indices: choose 'transform=[one_hot]'"
        )
    bounds = traits.get("inputs_within")
    if bounds and isinstance(dataset.train, Samples) and not _is_within(dataset, bounds):
        low, high = dataset.train.x.min().item(), dataset.train.x.max().item()
        raise HarnessError(
            f"model {name} wants inputs within {bounds[0]} .. {bounds[1]}, and these are within {low:.3g} .. "
            f"{high:.3g}: choose transform=auto, or 'transform=[]' if the data is as it wants it"
        )


def _check_estimator(values: dict[str, Any], dataset: Dataset, catalogue: Catalogue) -> None:
    name = values["model"][KEY]
    if catalogue.get("model", name)["traits"].get("estimator") and not dataset.in_memory:
        raise HarnessError(f"model {name} is fitted at once, and wants data in memory")


def _objective(values: dict[str, Any], own: list[str], catalogue: Catalogue) -> str:
    once = [name for name in values["metric"] if AT_END.intersection(catalogue.get("metric", name)["asks"])]
    known = [*(f"val/{name}" for name in ("loss", *values["metric"]) if name not in once), *once]
    asked = values["objective"]
    if asked is None:
        return f"val/{own[0]}" if own else "val/loss"
    if asked in once and values["save"] == "best":
        raise HarnessError(f"save=best wants an objective that is measured after each epoch, and {asked} is so once")
    if asked not in known:
        more = " The test split decides nothing." if str(asked).startswith("test/") else ""
        raise HarnessError(f"objective {asked!r} is not measured.{suggest(asked, known)}{more}")
    return str(asked)


def choices(values: dict[str, Any]) -> dict[str, str | list[str]]:
    """{kind: name, or names of a list kind}."""
    return {kind.name: list(values[kind.name]) if kind.many else values[kind.name][KEY] for kind in KINDS.values()}
