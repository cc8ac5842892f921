"""From the config to a data set that is ready to train on: loaded, corrupted, checked, transformed."""

from __future__ import annotations

import json
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import catalogue, seeds
from harness.adopt import adopt, drawing
from harness.build import component
from harness.check import check_values
from harness.component import asks
from harness.dataset import SPLITS, Dataset, Samples, Target, digest, overlap, validate
from harness.errors import HarnessError, one_line
from harness.registry import REGISTRY
from harness.resolve import transforms
from harness.schema import KEY
from harness.settings import Settings, Split

KEPT_BYTES = 1 << 26  # of data sets that a loader keeps, until it is asked for another


class OverlapWarning(UserWarning):
    """Samples stand in more than one split."""


@dataclass(frozen=True)
class Loaded:
    """A data set after corruptions and transforms; `digest` and `overlap` are of what the transforms were fitted on."""

    dataset: Dataset
    digest: str
    overlap: int | None

    @property
    def bytes(self) -> int:
        """Of the samples in memory."""
        parts = [self.dataset.part(split) for split in SPLITS]
        return sum(p.x.nbytes + p.y.nbytes for p in parts if isinstance(p, Samples))

    @property
    def facts(self) -> Facts:
        """What is known of the data when it is gone again."""
        dataset = self.dataset
        return Facts(dataset.inputs, dataset.width, dataset.target, dataset.classes, dataset.in_memory, self.bytes)


@dataclass(frozen=True)
class Facts:
    """What grouping and saving want to know of a data set, without holding it."""

    inputs: tuple[int, ...]
    width: int
    target: Target
    classes: tuple[str, ...]
    in_memory: bool
    bytes: int  # of the samples in memory


class Loader:
    """Loads data sets as they are asked for, and keeps the last of them as long as they are small together: the next
    run of a sweep nearly always wants one of them again.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Loaded] = OrderedDict()

    def load(self, values: dict[str, Any]) -> Loaded:
        """The data set of a config. Raises HarnessError for data that cannot be had or used."""
        key = json.dumps([values[k] for k in ("data", "corruption", "transform", "split", "cache_dir")], default=str)
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
    split = Split(**values["split"])
    name = values["data"][KEY]
    cache_dir, generator = Path(values["cache_dir"]).expanduser(), seeds.generator(split.seed, "split")
    try:
        with drawing(split.seed):
            found = component("data", values["data"], split=split, cache_dir=cache_dir, generator=generator)
            dataset = adopt(found, split, generator, cache_dir)
    except HarnessError as error:
        raise HarnessError(f"data {name}: {error}") from error
    except Exception as error:  # whatever a stranger's loader meets: there is no run yet that could fail
        raise HarnessError(f"data {name}: {one_line(error)} (HYDRA_FULL_ERROR=1 shows where)") from error
    validate(dataset, name)
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
    return Loaded(_transformed(dataset, transforms(values["transform"], dataset, known)), whole, shared)


def _overlapping(name: str, shared: int) -> str:
    return f"data {name}: {shared} samples stand in more than one split"


def warn_of_overlap(shared: int | None, values: dict[str, Any]) -> None:
    """Warns of shared samples, once a run is sure to start: a config that is refused gets its one line and no other."""
    if shared and values["split"]["on_overlap"] == "warn":
        warnings.warn(_overlapping(values["data"][KEY], shared), OverlapWarning, stacklevel=2)


def _transformed(dataset: Dataset, nodes: dict[str, Any]) -> Dataset:
    for name, node in nodes.items():
        if not dataset.passed_over:
            raise HarnessError(
                "transforms are fitted on data in memory or in harness's files; choose 'transform=[]' for what is "
                "read sample by sample"
            )
        train = dataset.train.x if isinstance(dataset.train, Samples) else None
        if train is None and "train" in asks(REGISTRY.get("transform", name)):
            raise HarnessError(
                f"transform {name} wants all training inputs in memory at once, and these are not: "
                "say data.in_memory=true, or choose another"
            )
        dataset = dataset.mapped(component("transform", node, train=train, chunks=dataset.chunks))
    return dataset
