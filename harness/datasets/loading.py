"""Load the data set of a config, ready to train on: corrupted, checked and transformed."""

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
from harness.datasets.class_counts import lacking_classes
from harness.datasets.dataset import SPLITS, Dataset, Samples, Target, digest, overlap
from harness.datasets.precision import cast, of_run
from harness.datasets.remarks import TargetWarning, remarks
from harness.datasets.sampling import first_samples
from harness.datasets.torch_adapter import adopt
from harness.datasets.validation import validate
from harness.registry import catalogue
from harness.registry.catalogue import Catalogue
from harness.registry.component import asks
from harness.registry.instantiate import component
from harness.registry.kinds import AUTO, KEY, KINDS
from harness.registry.registry import REGISTRY
from harness.results.record import Record
from harness.results.study import find_weights, run_of
from harness.system import session
from harness.system.errors import HarnessError, one_line
from harness.system.process_state import drawing, kept, torch_on_one_thread, watched_generators

KEPT_BYTES = 1 << 26  # size of the data sets that a loader keeps


class OverlapWarning(UserWarning):
    """Warning about samples that are in more than one split."""


class TrackedSplit(Split):
    """The settings of `split`, with the names of those that a data component has read."""

    names: set[str]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        object.__setattr__(self, "names", set())

    def __getattribute__(self, name: str) -> Any:
        if name in Split.__dataclass_fields__:
            self.names.add(name)
        return super().__getattribute__(name)


class TrackedGenerator(torch.Generator):
    """A generator that notes if its seed was read, from which a component may seed another library's generator."""

    seed_read = False

    def initial_seed(self) -> int:
        """Return the seed, and note that it was read."""
        self.seed_read = True
        return super().initial_seed()


@dataclass(frozen=True)
class Loaded:
    """A data set after corruptions and transforms; `digest` and `overlap` describe it before the transforms."""

    dataset: Dataset
    digest: str
    overlap: int | None
    transform: dict[str, Any] = field(default_factory=dict)  # nodes of the transforms, with `auto` replaced
    remarks: tuple[str, ...] = ()  # lines for the user (remarks.py)
    lacking: tuple[str, ...] = ()  # a line on classes that splits lack (class_counts.py)
    divided_by: frozenset[str] | None = None  # settings of `split` that the division depends on
    changes: tuple[str, ...] = ()  # lines on changes of the state of the process by components

    @functools.cached_property
    def baseline(self) -> dict[str, Any]:
        """The score of a constant prediction."""
        return baseline(self.dataset)

    @property
    def bytes(self) -> int:
        """The size of the samples in memory."""
        parts = [self.dataset.part(split) for split in SPLITS]
        return sum(p.x.nbytes + p.y.nbytes for p in parts if isinstance(p, Samples))

    @property
    def facts(self) -> DatasetFacts:
        """The facts about the data that are needed after it was released."""
        dataset = self.dataset
        counts = dataset.class_counts.tolist() if dataset.in_memory and dataset.class_counts is not None else []
        shape = dataset.inputs, dataset.width, dataset.target, dataset.classes
        return DatasetFacts(*shape, dataset.in_memory, self.bytes, tuple(counts), self.divided_by)


@dataclass(frozen=True)
class DatasetFacts:
    """The facts about a data set that grouping and saving need, without its samples."""

    inputs: tuple[int, ...]
    width: int
    target: Target
    classes: tuple[str, ...]
    in_memory: bool
    bytes: int  # size of the samples in memory
    class_counts: tuple[int, ...] = ()  # training samples of each class
    divided_by: frozenset[str] | None = None  # settings of `split` that the division depends on


class Loader:
    """Loads data sets, and keeps the last ones while they are small, since the next run often needs one of them."""

    def __init__(self) -> None:
        self._cache: OrderedDict[str, Loaded] = OrderedDict()

    def load(self, values: dict[str, Any]) -> Loaded:
        """Return the data set of a checked config.

        Raises:
            HarnessError: If the data cannot be loaded or used.
        """
        settings = [values[k] for k in ("data", "corruption", "transform", "split", "cache_dir")]
        settings.append(None if values["train"] else values["init_from"])
        bounds = _bounds(values) if AUTO in values["transform"] else None
        key = json.dumps([*settings, bounds, str(of_run(values["trainer"]))], default=str)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        while self._cache and sum(loaded.bytes for loaded in self._cache.values()) > KEPT_BYTES:
            self._cache.popitem(last=False)  # before loading the next: two large ones may not fit in memory
        self._cache[key] = loaded = load(values)
        return loaded


def usable(config: dict[str, Any]) -> dict[str, Any]:
    """Return a record's config, checked and safe to load its data from, since anyone may have written the record.

    The default `cache_dir` replaces that of the record.

    Raises:
        HarnessError: If the config is not valid.
    """
    return check_values(config, catalogue.current()) | {"cache_dir": Settings().cache_dir}


@torch_on_one_thread()
def load(values: dict[str, Any]) -> Loaded:
    """Load the data set of a checked config.

    Raises:
        HarnessError: If the data cannot be loaded or used.
    """
    changes: list[str] = []
    with kept(changes.append):
        loaded = load_untransformed(values)
        run = None if values["train"] or values["init_from"] is None else run_of(find_weights(values["init_from"]))
        if run is not None:
            return replace(loaded, dataset=_as_trained(loaded.dataset, run), transform=run.config["transform"])
        model = values.get("model", {}).get(KEY)
        nodes = transforms(values["transform"], loaded.dataset, catalogue.current(), model)
        dataset = _transformed(loaded.dataset, nodes, of_run(values["trainer"]))
    return replace(loaded, dataset=dataset, transform=nodes, changes=tuple(dict.fromkeys(changes)))


def _as_trained(dataset: Dataset, run: Record) -> Dataset:
    """Return a data set that a trained run is evaluated on, after the transforms that were fitted on the run's data.

    Raises:
        HarnessError: If the data of the run has changed, or has other inputs or classes.
    """
    config = usable(run.config)
    trained, name = load(config), config["data"][KEY]
    if trained.digest != run.data.get("digest"):
        raise HarnessError(f"data {name} has changed since {run.folder} was trained on it")
    for what, theirs, ours in (
        ("inputs of the shape", trained.dataset.given, dataset.inputs),
        ("targets of the type", trained.dataset.target, dataset.target),
        ("the classes", trained.dataset.classes, dataset.classes),
    ):
        if theirs != ours:
            raise HarnessError(f"the run was trained on {what} {_shown(theirs)}, and this data has {_shown(ours)}")
    for function in trained.dataset.applied:
        dataset = dataset.mapped(function)
    return dataset


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@torch_on_one_thread()
def load_untransformed(values: dict[str, Any]) -> Loaded:
    """Load the data set of a checked config with its corruptions, without its transforms.

    Raises:
        HarnessError: If the data cannot be loaded or used.
    """
    split, tracked = Split(**values["split"]), TrackedSplit(**values["split"])
    name = values["data"][KEY]
    cache_dir, generator = Path(values["cache_dir"]).expanduser(), TrackedGenerator()
    generator.manual_seed(seeds.derive(split.seed, "split"))
    initial_state = generator.get_state()
    try:
        with drawing(split.seed):
            drawn = watched_generators()
            data = component("data", values["data"], split=tracked, cache_dir=cache_dir, generator=generator)
            dataset = adopt(data, tracked, generator, cache_dir)
            if generator.seed_read or drawn() or not torch.equal(initial_state, generator.get_state()):
                tracked.names.add("seed")
    except HarnessError as error:
        raise HarnessError(f"data {name}: {error}") from error
    except Exception as error:  # any error of a data component; there is no run yet whose record could hold it
        raise HarnessError(f"data {name}: {one_line(error)} (HYDRA_FULL_ERROR=1 shows where)") from error
    validate(dataset, name)
    if split.stratify is True and dataset.target != "class":
        raise HarnessError(f"split.stratify=true needs classes, but data {name} has {dataset.target} targets")
    channels_remark = check_channels(dataset, name, values["transform"])
    lines = [*remarks(dataset), *([channels_remark] if channels_remark else [])]
    known = catalogue.current()
    for corruption, node in values["corruption"].items():
        targets = known.get("corruption", corruption)["traits"].get("targets", [dataset.target])
        if dataset.target not in targets:
            raise HarnessError(
                f"corruption {corruption} needs {' or '.join(targets)} targets, but data {name} has "
                f"{dataset.target} ones"
            )
        dataset = component(
            "corruption",
            node,
            dataset=dataset,
            generator=seeds.generator(split.seed, "corruption", corruption),
        )
        validate(dataset, f"{name} after corruption {corruption}")
    data_digest, shared = digest(dataset), overlap(dataset)
    if shared and split.on_overlap == "error":
        raise HarnessError(f"{_overlap_text(name, shared)} (split.on_overlap=error)")
    missing, divided_by = tuple(lacking_classes(dataset)), frozenset(tracked.names)
    return Loaded(dataset, data_digest, shared, remarks=tuple(lines), lacking=missing, divided_by=divided_by)


def _bounds(values: dict[str, Any]) -> Any:
    """Return the bounds that the model needs its inputs to be in, on which the transform `auto` depends; or None."""
    model = values.get("model", {}).get(KEY, AUTO)
    return None if model == AUTO else catalogue.current().get("model", model)["traits"].get("inputs_within")


def _overlap_text(name: str, shared: int) -> str:
    return f"data {name}: {shared} samples are in more than one split"


class WarnedData(set[str]):
    """The data sets whose shared samples were warned of."""


def warn_of_overlap(shared: int | None, values: dict[str, Any]) -> None:
    """Warn once per process and data set about samples that are in more than one split.

    Call it when a run is sure to start, so that a refused config only prints its error.

    Args:
        shared: Number of such samples; None if unknown.
        values: Config of the run.
    """
    data = repr(values["data"])
    if shared and values["split"]["on_overlap"] == "warn" and data not in session.state(WarnedData):
        session.state(WarnedData).add(data)
        text = _overlap_text(values["data"][KEY], shared)
        warnings.warn(f"{text} (split.on_overlap=ignore hides this)", OverlapWarning, stacklevel=outside())


def outside() -> int:
    """Return the `stacklevel` of the first caller outside of harness, so that a warning shows the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1
    return level


_INSIDE = ("harness", "contextlib")  # which calls a function that a context manager decorates


def warn_of_data(data: dict[str, Any], values: dict[str, Any]) -> None:
    """Warn about overlap and suspicious targets, as noted in a record.

    Args:
        data: The `data` of the record.
        values: Config of the run.
    """
    warn_of_overlap(data["overlap"], values)
    for remark in data.get("remarks", ()):
        warnings.warn(f"data {data['name']}: {remark}", TargetWarning, stacklevel=2)


def _transformed(dataset: Dataset, nodes: dict[str, Any], precision: torch.dtype = torch.float32) -> Dataset:
    """Fit and apply transforms on unrounded numbers, then round the result to the precision of the run."""
    dataset = replace(dataset, given=dataset.inputs, applied=())  # corruptions do not apply to new samples
    if precision == torch.float64 and dataset.real_inputs:
        dataset = dataset.mapped(cast(precision))
    for name, node in nodes.items():
        injected = asks(REGISTRY.get("transform", name))
        if injected and not dataset.passed_over:
            raise HarnessError(
                f"transform {name} cannot be fitted on data that is read sample by sample; choose 'transform=[]'"
            )
        train = dataset.train.x if isinstance(dataset.train, Samples) else None
        if train is None and "train" in injected:
            raise HarnessError(
                f"transform {name} needs all training inputs in memory at once, but they are in files: "
                "set data.in_memory=true, or choose another transform"
            )
        dataset = dataset.mapped(component("transform", node, train=train, chunks=dataset.chunks))
    return dataset if _dtypes(dataset) <= {precision} else dataset.mapped(cast(precision))


def _dtypes(dataset: Dataset) -> set[torch.dtype]:
    """Return the dtypes of real inputs; for splits that are not in memory, that of the first sample."""
    parts = [dataset.part(split) for split in SPLITS]
    inputs = [p.x if isinstance(p, Samples) else first_samples(dataset, 1)[0] for p in parts]
    return {x.dtype for x in inputs if x.is_floating_point()}


def transforms(
    chosen: dict[str, Any], dataset: Dataset, catalogue: Catalogue, model: str | None = None
) -> dict[str, Any]:
    """Return the nodes of the chosen transforms, with `auto` replaced.

    `auto` stands for no transform if data is read sample by sample, since fitting would read all of it; if inputs are
    whole numbers, which are names; and for a surface, which has its own scale. For a model that needs its inputs within
    bounds, it stands for none if they are, and else for a transform to these bounds.

    Args:
        chosen: Nodes of the transforms by name.
        dataset: The data set before transforms.
        catalogue: The installed components.
        model: Name of the model, if it is known.
    """
    standard = KINDS["transform"].auto or ""
    bounds = catalogue.get("model", model)["traits"].get("inputs_within") if model not in (None, AUTO) else None
    ranges = {n: catalogue.get("transform", n)["traits"].get("within") for n in catalogue.names("transform")}
    standard = next((n for n, output_range in ranges.items() if bounds and output_range == bounds), standard)
    within_bounds = bounds and _is_within(dataset, bounds)
    if within_bounds or not dataset.passed_over or not dataset.real_inputs or dataset.target == "surface":
        chosen = {name: node for name, node in chosen.items() if name != AUTO}
    return {
        standard if name == AUTO else name: default_node(catalogue, "transform", standard) if name == AUTO else node
        for name, node in chosen.items()
    }


def _is_within(dataset: Dataset, bounds: Sequence[float]) -> bool:
    if not isinstance(dataset.train, Samples):
        return False
    return bool(dataset.train.x.min() >= bounds[0] and dataset.train.x.max() <= bounds[1])
