"""From the config to a data set that is ready to train on: loaded, corrupted, checked, transformed."""

from __future__ import annotations

import functools
import json
import sys
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from harness.config import seeds
from harness.config.schema import default_node
from harness.config.settings import Settings, Split
from harness.config.validation import check_values
from harness.datasets.baseline import baseline
from harness.datasets.channels import check_channels
from harness.datasets.dataset import SPLITS, Dataset, Samples, Target, digest, first_samples, overlap, validate
from harness.datasets.precision import cast, of_run
from harness.datasets.remarks import TargetWarning, remarks
from harness.datasets.torch_adapter import adopt
from harness.registry import catalogue
from harness.registry.catalogue import Catalogue
from harness.registry.component import asks
from harness.registry.instantiate import component
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.registry.registry import REGISTRY
from harness.system import session
from harness.system.errors import HarnessError, one_line
from harness.system.process_state import drawing, kept

KEPT_BYTES = 1 << 26  # of data sets that a loader keeps, until it is asked for another


class OverlapWarning(UserWarning):
    """Samples stand in more than one split."""


class TrackedSplit(Split):
    """The settings of `split`, with the names of those that a data component has looked at."""

    names: set[str]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        object.__setattr__(self, "names", set())

    def __getattribute__(self, name: str) -> Any:
        if name in Split.__dataclass_fields__:
            self.names.add(name)
        return super().__getattribute__(name)


class TrackedGenerator(torch.Generator):
    """A generator that knows whether it was asked for its seed, as other libraries' generators are made from."""

    asked = False

    def initial_seed(self) -> int:
        """The seed."""
        self.asked = True
        return super().initial_seed()


@dataclass(frozen=True)
class Loaded:
    """A data set after corruptions and transforms; `digest` and `overlap` are of what the transforms were fitted on."""

    dataset: Dataset
    digest: str
    overlap: int | None
    transform: dict[str, Any] = field(default_factory=dict)  # the chosen ones, `auto` decided
    remarks: tuple[str, ...] = ()  # for a person (remarks.py)
    divided_by: frozenset[str] | None = None  # settings of `split` that decided which samples stand where
    changes: tuple[str, ...] = ()  # of the state of the process, by its components

    @functools.cached_property
    def baseline(self) -> dict[str, Any]:
        """What a prediction without any input scores."""
        return baseline(self.dataset)

    @property
    def bytes(self) -> int:
        """Of the samples in memory."""
        parts = [self.dataset.part(split) for split in SPLITS]
        return sum(p.x.nbytes + p.y.nbytes for p in parts if isinstance(p, Samples))

    @property
    def facts(self) -> DatasetFacts:
        """What is known of the data when it is gone again."""
        dataset = self.dataset
        counts = dataset.class_counts.tolist() if dataset.in_memory and dataset.class_counts is not None else []
        shape = dataset.inputs, dataset.width, dataset.target, dataset.classes
        return DatasetFacts(*shape, dataset.in_memory, self.bytes, tuple(counts), self.divided_by)


@dataclass(frozen=True)
class DatasetFacts:
    """What grouping and saving want to know of a data set, without holding it."""

    inputs: tuple[int, ...]
    width: int
    target: Target
    classes: tuple[str, ...]
    in_memory: bool
    bytes: int  # of the samples in memory
    class_counts: tuple[int, ...] = ()  # in training
    divided_by: frozenset[str] | None = None  # settings of `split` that decided which samples stand where


class Loader:
    """Loads data sets as they are asked for, and keeps the last of them as long as they are small together: the next
    run of a sweep nearly always wants one of them again.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Loaded] = OrderedDict()

    def load(self, values: dict[str, Any]) -> Loaded:
        """The data set of a config. Raises HarnessError for data that cannot be had or used."""
        asked = [values[k] for k in ("data", "corruption", "transform", "split", "cache_dir")]
        bounds = _bounds(values) if AUTO in values["transform"] else None
        key = json.dumps([*asked, bounds, str(of_run(values["trainer"]))], default=str)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        while self._kept and sum(loaded.bytes for loaded in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)  # before the next is loaded: two large ones need not fit in memory
        self._kept[key] = loaded = load(values)
        return loaded


def usable(config: dict[str, Any]) -> dict[str, Any]:
    """A record's config, to load its data and to train it again: anyone may have written the record.

    It passes the checks of any config, and what its data keeps lies in the default `cache_dir`, not where it says.
    """
    return check_values(config, catalogue.current()) | {"cache_dir": Settings().cache_dir}


def load(values: dict[str, Any]) -> Loaded:
    """Loads the data set of a config, fresh."""
    changes: list[str] = []
    with kept(changes.append):
        loaded = load_untransformed(values)
        model = values.get("model", {}).get(KEY)
        nodes = transforms(values["transform"], loaded.dataset, catalogue.current(), model)
        dataset = _transformed(loaded.dataset, nodes, of_run(values["trainer"]))
    return replace(loaded, dataset=dataset, transform=nodes, changes=tuple(dict.fromkeys(changes)))


def load_untransformed(values: dict[str, Any]) -> Loaded:
    """Loads the data set of a config, before its transforms are fitted."""
    split, asked = Split(**values["split"]), TrackedSplit(**values["split"])
    name = values["data"][KEY]
    cache_dir, generator = Path(values["cache_dir"]).expanduser(), TrackedGenerator()
    generator.manual_seed(seeds.derive(split.seed, "split"))
    began = generator.get_state()
    try:
        with drawing(split.seed) as drawn:
            found = component("data", values["data"], split=asked, cache_dir=cache_dir, generator=generator)
            dataset = adopt(found, asked, generator, cache_dir)
            if generator.asked or drawn() or not torch.equal(began, generator.get_state()):
                asked.names.add("seed")
    except HarnessError as error:
        raise HarnessError(f"data {name}: {error}") from error
    except Exception as error:  # whatever a stranger's loader meets: there is no run yet that could fail
        raise HarnessError(f"data {name}: {one_line(error)} (HYDRA_FULL_ERROR=1 shows where)") from error
    validate(dataset, name)
    if split.stratify is True and dataset.target != "class":
        raise HarnessError(f"split.stratify=true wants classes, and data {name} has {dataset.target} targets")
    kept = check_channels(dataset, name, values["transform"])
    told = [*remarks(dataset), *([kept] if kept else [])]
    known = catalogue.current()
    for corruption, node in values["corruption"].items():
        targets = known.get("corruption", corruption)["traits"].get("targets", [dataset.target])
        if dataset.target not in targets:
            raise HarnessError(
                f"corruption {corruption} wants {' or '.join(targets)} targets, and data {name} has "
                f"{dataset.target} ones"
            )
        dataset = component(
            "corruption",
            node,
            dataset=dataset,
            generator=seeds.generator(split.seed, "corruption", corruption),
        )
        validate(dataset, f"{name} after corruption {corruption}")
    whole, shared = digest(dataset), overlap(dataset)
    if shared and split.on_overlap == "error":
        raise HarnessError(f"{_overlapping(name, shared)} (split.on_overlap=error)")
    return Loaded(dataset, whole, shared, remarks=tuple(told), divided_by=frozenset(asked.names))


def _bounds(values: dict[str, Any]) -> Any:
    """The bounds that the chosen model wants its inputs to lie in: a reason for `auto` to choose another transform."""
    model = values.get("model", {}).get(KEY, AUTO)
    return None if model == AUTO else catalogue.current().get("model", model)["traits"].get("inputs_within")


def _overlapping(name: str, shared: int) -> str:
    return f"data {name}: {shared} samples stand in more than one split"


class WarnedData(set[str]):
    """The data sets whose shared samples were warned of."""


def warn_of_overlap(shared: int | None, values: dict[str, Any]) -> None:
    """Warn of shared samples once a run is sure to start, and once only for the runs of a process that share data: a
    config that is refused gets its one line and no other.
    """
    data = repr(values["data"])
    if shared and values["split"]["on_overlap"] == "warn" and data not in session.state(WarnedData):
        session.state(WarnedData).add(data)
        text = _overlapping(values["data"][KEY], shared)
        warnings.warn(f"{text} (split.on_overlap=ignore says nothing)", OverlapWarning, stacklevel=outside())


def outside() -> int:
    """Return the `stacklevel` of the first caller outside of harness: a warning shows the user's own line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1
    return level


_INSIDE = ("harness", "contextlib")  # which calls a function that a context manager decorates


def warn_of_data(data: dict[str, Any], values: dict[str, Any]) -> None:
    """Warns of what a record's `data` says: samples that several splits share, and what is odd about the targets."""
    warn_of_overlap(data["overlap"], values)
    for remark in data.get("remarks", ()):
        warnings.warn(f"data {data['name']}: {remark}", TargetWarning, stacklevel=2)


def _transformed(dataset: Dataset, nodes: dict[str, Any], precision: torch.dtype = torch.float32) -> Dataset:
    """With transforms, fitted and computed on unrounded numbers; what they make is rounded to the run's precision."""
    dataset = replace(dataset, given=dataset.inputs, applied=())  # corruptions are of these samples alone
    if precision == torch.float64 and dataset.real_inputs:
        dataset = dataset.mapped(cast(precision))
    for name, node in nodes.items():
        asked = asks(REGISTRY.get("transform", name))
        if asked and not dataset.passed_over:
            raise HarnessError(
                "transforms are fitted on data in memory or in harness's files; choose 'transform=[]' for what is "
                "read sample by sample"
            )
        train = dataset.train.x if isinstance(dataset.train, Samples) else None
        if train is None and "train" in asked:
            raise HarnessError(
                f"transform {name} wants all training inputs in memory at once, and these are not: "
                "say data.in_memory=true, or choose another"
            )
        dataset = dataset.mapped(component("transform", node, train=train, chunks=dataset.chunks))
    return dataset if _dtypes(dataset) <= {precision} else dataset.mapped(cast(precision))


def _dtypes(dataset: Dataset) -> set[torch.dtype]:
    """The precisions of real inputs; of those that are not in memory, that of the first sample."""
    parts = [dataset.part(split) for split in SPLITS]
    found = [p.x if isinstance(p, Samples) else first_samples(dataset, 1)[0] for p in parts]
    return {x.dtype for x in found if x.is_floating_point()}


def transforms(
    chosen: dict[str, Any], dataset: Dataset, catalogue: Catalogue, model: str | None = None
) -> dict[str, Any]:
    """The chosen transforms, with the one that `auto` stands for in its place.

    Data that is read sample by sample is not read whole to fit one, whole numbers are names and no amounts, and a
    surface has its own scale: there `auto` stands for none. For a model that wants its inputs within bounds, it stands
    for none where they are, and else for a transform that brings them there.
    """
    standard = KINDS["transform"].auto or ""
    bounds = catalogue.get("model", model)["traits"].get("inputs_within") if model not in (None, AUTO) else None
    within = {n: catalogue.get("transform", n)["traits"].get("within") for n in catalogue.names("transform")}
    standard = next((n for n, reached in within.items() if bounds and reached == bounds), standard)
    as_is = bounds and _is_within(dataset, bounds)
    if as_is or not dataset.passed_over or not dataset.real_inputs or dataset.target == "surface":
        chosen = {name: node for name, node in chosen.items() if name != AUTO}
    return {
        standard if name == AUTO else name: default_node(catalogue, "transform", standard) if name == AUTO else node
        for name, node in chosen.items()
    }


def _is_within(dataset: Dataset, bounds: Sequence[float]) -> bool:
    if not isinstance(dataset.train, Samples):
        return False
    return bool(dataset.train.x.min() >= bounds[0] and dataset.train.x.max() <= bounds[1])
