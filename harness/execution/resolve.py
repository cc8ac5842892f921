"""Replace `auto` in a config by what fits the data, and refuse choices that do not fit each other or the data."""

from __future__ import annotations

from typing import Any

from harness.config.schema import default_node
from harness.config.validation import component_values
from harness.datasets.class_counts import has_imbalanced_classes
from harness.datasets.dataset import Dataset, Samples
from harness.datasets.loading import _is_within, transforms
from harness.registry.catalogue import Catalogue
from harness.registry.kinds import AT_END, AUTO, KEY, KINDS, NONE
from harness.system.errors import HarnessError, suggest


def _with_settings(catalogue: Catalogue, kind: str, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the node of a component that `auto` stands for, with the settings that were typed for it."""
    try:
        return component_values(kind, {KEY: name} | settings, kind, catalogue)
    except HarnessError as error:
        raise HarnessError(f"{error} ({kind}=auto is {name} here)") from error


def resolve(values: dict[str, Any], dataset: Dataset, catalogue: Catalogue) -> dict[str, Any]:
    """Replace every `auto` of a config.

    Args:
        values: The config.
        dataset: The data, which the choices depend on.
        catalogue: The catalogue of components.

    Returns:
        The config without `auto`.

    Raises:
        HarnessError: If components do not fit each other or the data.
    """
    out = dict(values)

    def name_of(kind: str) -> str:
        return str(out[kind][KEY])

    def traits(kind: str, name: str) -> dict[str, Any]:
        return dict(catalogue.get(kind, name)["traits"])

    def decide(kind: str, name: str | None) -> None:
        if name_of(kind) != AUTO or name is None:
            return
        if settings := {k: v for k, v in out[kind].items() if k != KEY}:
            out[kind] = _with_settings(catalogue, kind, name, settings)
        else:
            out[kind] = default_node(catalogue, kind, name)

    decide("executor", KINDS["executor"].auto)
    fitting = [n for n in catalogue.names("task") if dataset.target in traits("task", n).get("targets", ())]
    # prefer tasks with the trait `auto`, and then tasks for few kinds of targets
    fitting.sort(key=lambda n: (not traits("task", n).get("auto", False), len(traits("task", n)["targets"])))
    usual = fitting[:1] if name_of("task") == AUTO else [name_of("task")]
    model_of_task = traits("task", usual[0]).get("model") if usual else None
    decide("model", model_of_task or KINDS["model"].auto)
    model = traits("model", name_of("model"))
    candidates = [t for t in model.get("tasks", fitting) if t in fitting]
    if name_of("task") == AUTO and not candidates:
        raise HarnessError(f"model {name_of('model')} has no task for {dataset.target} targets")
    decide("task", candidates[0] if candidates else None)
    task = name_of("task")
    targets = traits("task", task).get("targets", ())
    if dataset.target not in targets:
        raise HarnessError(
            f"task {task} wants {' or '.join(targets)} targets, and data {name_of('data')} has {dataset.target} ones."
            + (" Set their kind with data.kind=real or data.kind=class." if "kind" in out["data"] else "")
        )
    classes, count = traits("task", task).get("classes"), len(dataset.classes)
    if dataset.target == "class" and classes not in (None, count):
        raise HarnessError(f"task {task} wants {classes} classes, and data {name_of('data')} has {count}")
    decide("initializer", _initializer(catalogue.get("model", name_of("model")), catalogue))
    decide("loss", next(iter(model.get("losses", ())), traits("task", task).get("loss", "")))
    of_model = [n for n in model.get("metrics", ()) if not AT_END.intersection(catalogue.get("metric", n)["asks"])]
    metrics = [
        *traits("task", task).get("metrics", ()),
        *of_model,
    ]  # those measured once, at the end, are chosen by name
    more = traits("task", task).get("imbalance_metrics", ()) if has_imbalanced_classes(dataset) else ()
    added = {n: default_node(catalogue, "metric", n) for n in (*metrics, *more) if n not in out["metric"]}
    out["metric"] = added | out["metric"]
    out["transform"] = transforms(out["transform"], dataset, catalogue)
    _check_pairs(out, task, dataset, catalogue)
    _check_named_by_models(out, catalogue)
    _check_inputs(out, dataset, catalogue)
    _check_estimator(out, dataset, catalogue)
    out["objective"] = _objective(out, metrics, catalogue)
    return out


def _initializer(model: dict[str, Any], catalogue: Catalogue) -> str | None:
    """Return the initializer that `auto` stands for: the one that the model names, or the default if it uses blocks.

    Models that make their layers by themselves keep the weights of these.
    """
    default = KINDS["initializer"].auto
    if model["traits"].get("initializer"):
        return str(model["traits"]["initializer"])
    if "block" in model["asks"] or model["traits"].get("estimator"):
        return default
    keeping = (n for n in catalogue.names("initializer") if catalogue.get("initializer", n)["traits"].get("keeps"))
    return next(keeping, default)


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


def _check_named_by_models(values: dict[str, Any], catalogue: Catalogue) -> None:
    """Check that a loss or a metric which some models name is used with one of these models."""
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
    """Check that the transformed inputs are real numbers and within the bounds of the model, if its traits say so."""
    name = values["model"][KEY]
    traits = catalogue.get("model", name)["traits"]
    if traits.get("real_inputs") and not dataset.real_inputs:
        raise HarnessError(
            f"model {name} wants inputs that are real numbers, and these are indices: set 'transform=[one_hot]'"
        )
    bounds = traits.get("inputs_within")
    if bounds and isinstance(dataset.train, Samples) and not _is_within(dataset, bounds):
        low, high = dataset.train.x.min().item(), dataset.train.x.max().item()
        raise HarnessError(
            f"model {name} wants inputs within {bounds[0]} .. {bounds[1]}, and these are within {low:.3g} .. "
            f"{high:.3g}: choose transform=auto, or 'transform=[]' if the raw data lies within them"
        )


def _check_estimator(values: dict[str, Any], dataset: Dataset, catalogue: Catalogue) -> None:
    name = values["model"][KEY]
    if catalogue.get("model", name)["traits"].get("estimator") and not dataset.in_memory:
        raise HarnessError(f"model {name} is fitted at once, and wants data in memory")


def _objective(values: dict[str, Any], defaults: list[str], catalogue: Catalogue) -> str:
    """Return the objective: as it was set, or else the first metric that the task or the model names."""
    once = [name for name in values["metric"] if AT_END.intersection(catalogue.get("metric", name)["asks"])]
    measured = [*(f"val/{name}" for name in ("loss", *values["metric"]) if name not in once), *once]
    objective = values["objective"]
    if objective is None:
        return f"val/{defaults[0]}" if defaults else "val/loss"
    if objective in once and values["save"] == "best":
        raise HarnessError(
            f"save=best needs an objective that is measured after each epoch, and {objective} is measured once, at the "
            "end: set another objective, or save=last"
        )
    if objective not in measured:
        more = " The test split decides nothing." if str(objective).startswith("test/") else ""
        raise HarnessError(f"objective {objective!r} is not measured.{suggest(objective, measured)}{more}")
    return str(objective)


def choices(values: dict[str, Any]) -> dict[str, str | list[str]]:
    """Return the name of the component of each kind; a list of names for kinds that take several."""
    return {kind.name: list(values[kind.name]) if kind.many else values[kind.name][KEY] for kind in KINDS.values()}
